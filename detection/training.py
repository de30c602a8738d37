"""Training one version: features from the ONNX graph, LightGBM, the threshold proposal and the report.

The same rows give the same bytes: rows are brought into one order, LightGBM runs deterministic with one thread per
model and a stored seed. Models that answer questions about the training are fitted side by side: both cores work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.boosting import Pool, Progress, Table, fit, make_table, parameters, raw_scores, score_unseen
from detection.contract import Contract, encode
from detection.cross_validation import (
    bin_of_rows,
    bins_of_sources,
    blocks_of_time,
    fold_of_groups,
    splits_by_time,
    splits_of,
)
from detection.features import feature_specs
from detection.learning_checks import start_curve
from detection.learning_curve import Curve
from detection.proposal import Proposal, propose, scout
from detection.scoring import features as feature_matrix
from detection.training_policy import TrainingPolicy, is_scouting, prices, seen_by_every_tree, trust
from detection.training_report import (
    Importance,
    Measure,
    SourceMeasure,
    TrainingReport,
    by_time,
    complaints,
    composition,
    count_rows,
    features_of_the_source,
    measure,
    source_note,
    validation,
)
from detection.training_rows import (
    ORIGINS,
    TrainingRows,
    exclude,
    group_of,
    host_in,
    read_training_set,
    shape_in,
    write_training_set,
)
from detection.trees import build_version_model

__all__ = [
    "ORIGINS",
    "Progress",
    "TrainedModel",
    "TrainingImpossible",
    "TrainingPolicy",
    "TrainingRows",
    "exclude",
    "group_of",
    "read_training_set",
    "train",
    "write_training_set",
]

BACKGROUND = "background"
_PART = 4_096  # rows turned into bytes at a time


class TrainingImpossible(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """These rows cannot train a model; the message says what is missing."""


@dataclass(frozen=True)
class TrainedModel:
    """One trained version: LightGBM's text for explanations, ONNX for everything else."""

    text_model: str
    text_digest: str
    onnx_bytes: bytes
    onnx_digest: str
    threshold: float
    report: TrainingReport


def train(
    rows: TrainingRows,
    contract: Contract,
    policy: TrainingPolicy,
    metadata: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> TrainedModel:
    """Return a model trained on these rows, with its proposed threshold and its report.

    `metadata` travels in the ONNX beside the digest of the text model (for instance the training set's digest).
    TrainingImpossible where one class is missing."""
    rows = rows.canonical()
    _refuse_one_class(rows)
    titles = [(spec.name, spec.title) for spec in feature_specs(contract)]
    weight, always = trust(rows, policy), seen_by_every_tree(rows)
    table = make_table(_features(contract, rows), rows.label, weight, always, [name for name, _title in titles])
    fold = fold_of_groups(rows.group, rows.label, policy.folds_for(len(rows)), policy.seed)
    bins = bins_of_sources(rows.source, policy.source_models)
    blocks = blocks_of_time(rows.rows["start"], policy.time_blocks)
    told = _ask(table, rows, fold, bins, blocks, policy, progress)
    proposal = _proposal(told.raw, rows, policy)
    report = TrainingReport(
        counts=count_rows(rows.label, rows.source, rows.origin, rows.group)
        | {"weight": {"positive": _sum(weight, rows.label == 1), "negative": _sum(weight, rows.label == 0)}},
        composition=composition(rows, weight, always, policy),
        proposal=proposal,
        folds=0 if fold is None else int(fold.max()) + 1,
        out_of_fold=measure(told.raw, table.label, proposal.raw),
        out_of_fold_by_origin=_by_origin(told.raw, rows, proposal),
        validations=tuple(validation(kind, scores, table.label, proposal.raw) for kind, scores in told.unseen.items()),
        by_time=by_time(blocks, told.by_time, rows, proposal.raw),
        learning_curve=told.curve,
        complaints=complaints(rows, raw_scores(told.booster, table.features), told.raw, proposal),
        left_out=_left_out(told.by_source, rows, bins, proposal),
        left_out_models=len(bins) if len(bins) > 1 else 0,
        source_features=features_of_the_source(table.features, titles, rows.label, rows.source),
        importance=_importance(told.booster, titles),
        policy=policy.to_dict(),
        parameters=parameters(table, np.arange(len(table)), policy, policy.trees) | {"trees": told.booster.num_trees()},
        notes=tuple(_notes(fold, proposal, rows, len(bins), policy)),
    )
    return _packed(told.booster, contract, proposal, report, metadata or {})


@dataclass(frozen=True, slots=True)
class _Told:
    """The model, and what models that had not seen a row say of it: raw scores, NaN where nobody could be asked."""

    booster: Any
    raw: NDArray[np.float64]  # of folds by look and host; of the model itself where the groups are too few
    unseen: dict[str, NDArray[np.float64]]  # by what was not seen
    by_source: NDArray[np.float64]
    by_time: NDArray[np.float64]
    curve: Curve


def _ask(
    table: Table,
    rows: TrainingRows,
    fold: NDArray[np.intp] | None,
    bins: Sequence[Sequence[str]],
    blocks: Sequence[NDArray[np.intp]],
    policy: TrainingPolicy,
    progress: Progress | None,
) -> _Told:
    """Fit the model and those that answer questions about it, side by side."""
    few = policy.source_trees
    with Pool(max_workers=policy.workers) as pool:
        final = pool.submit(fit, table, np.arange(len(table)), policy, policy.trees)
        of_folds = None if fold is None else score_unseen(pool, table, splits_of(fold), policy, policy.trees)
        of_sources = score_unseen(pool, table, splits_of(bin_of_rows(rows.source, bins)), policy, few)
        of_kinds = {
            kind: score_unseen(pool, table, _splits(list(map(name_in, rows.group)), rows, policy), policy, few)
            for kind, name_in in (("host", host_in), ("look", shape_in))
        }
        of_time = score_unseen(pool, table, splits_by_time(blocks), policy, few)
        of_curve = start_curve(pool, table, rows, policy)
        pool.watch(progress)
        raw = raw_scores(final.result(), table.features) if of_folds is None else of_folds()
        unseen = {} if of_folds is None else {"look and host": raw}
        unseen |= {kind: wait() for kind, wait in of_kinds.items()}
        return _Told(final.result(), raw, unseen, of_sources(), of_time(), of_curve())


def _splits(group: Sequence[str], rows: TrainingRows, policy: TrainingPolicy) -> list[Any]:
    """Return the folds of these groups; none where they are too few."""
    fold = fold_of_groups(group, rows.label, policy.folds_for(len(rows)), policy.seed)
    return [] if fold is None else splits_of(fold)


def _features(contract: Contract, rows: TrainingRows) -> NDArray[np.float32]:
    """Return the features of all rows, by parts: one long text must not widen the bytes of 100,000 rows."""
    columns = {name: list(column) for name, column in rows.rows.items()}
    parts = [
        feature_matrix(contract, encode(contract, {name: column[at : at + _PART] for name, column in columns.items()}))
        for at in range(0, len(rows), _PART)
    ]
    return np.concatenate(parts)


def _proposal(raw: NDArray[np.float64], rows: TrainingRows, policy: TrainingPolicy) -> Proposal:
    if is_scouting(rows):
        kinds = [shape_in(name) for name in rows.group]
        budget, cost = policy.scouting_questions, policy.question_cost
        return scout(raw, rows.label, kinds, questions=budget, question_cost=cost)
    return propose(raw, rows.label, prices(rows, policy), false_positive_cost=policy.false_positive_cost)


def _refuse_one_class(rows: TrainingRows) -> None:
    for value, name in ((1, "positive"), (0, "negative")):
        if not (rows.label == value).any():
            raise TrainingImpossible(f"no {name} row among {len(rows):,}: a model needs both classes")


def _left_out(
    raw: NDArray[np.float64], rows: TrainingRows, bins: Sequence[Sequence[str]], proposal: Proposal
) -> tuple[SourceMeasure, ...]:
    """Return the figures of every source, from the scores of models that never met it."""
    if len(bins) < 2:
        return ()
    names = np.array(rows.source, dtype=object)
    found = []
    for name, others in sorted((name, len(group) - 1) for group in bins for name in group):
        chosen = names == name
        if np.isnan(raw[chosen]).any():
            found.append(SourceMeasure(name, None, "without it one class is missing: no model to measure with"))
            continue
        figures = measure(raw[chosen], rows.label[chosen], proposal.raw)
        together = f"left out together with {others:,} other sources" if others else ""
        found.append(SourceMeasure(name, figures, "; ".join(filter(None, (source_note(figures), together)))))
    return tuple(found)


def _by_origin(raw: NDArray[np.float64], rows: TrainingRows, proposal: Proposal) -> dict[str, Measure]:
    origins = np.array(rows.origin, dtype=object)
    return {
        origin: measure(raw[origins == origin], rows.label[origins == origin], proposal.raw)
        for origin in ORIGINS
        if (origins == origin).any()
    }


def _importance(booster: Any, titles: Sequence[tuple[str, str]]) -> tuple[Importance, ...]:
    gains = booster.feature_importance("gain")
    splits = booster.feature_importance("split")
    whole = float(gains.sum()) or 1.0
    used = [
        Importance(name, title, float(gain) / whole, int(count))
        for (name, title), gain, count in zip(titles, gains, splits, strict=True)
        if count
    ]
    return tuple(sorted(used, key=lambda feature: (-feature.gain, feature.name)))


def _notes(
    folds: NDArray[np.intp] | None, proposal: Proposal, rows: TrainingRows, models: int, policy: TrainingPolicy
) -> list[str]:
    notes = []
    if folds is None:
        notes.append(
            "Too few groups of look-alikes for folds: threshold and figures rest on rows the model was trained on."
        )
    if proposal.note:
        notes.append(proposal.note[0].upper() + proposal.note[1:] + ".")
    if len(set(rows.source)) < 2:
        notes.append("One source only: nothing can be left out, so nothing is known about traffic of other places.")
    if models > 1:
        notes.append(f"Sources were left out with {models} models of {policy.source_trees} trees each.")
    if is_scouting(rows):
        notes.append(
            "Nobody has judged sessions of both classes yet: the threshold is for scouting, where background above it "
            "is a question to an expert. A version for customers is trained on answers."
        )
    if set(rows.origin) <= {"rule", "language-model", BACKGROUND}:
        notes.append("All labels are weak: precision and recall compare the model with rules, not with the truth.")
    return notes


def _packed(
    booster: Any, contract: Contract, proposal: Proposal, report: TrainingReport, metadata: Mapping[str, str]
) -> TrainedModel:
    text = booster.model_to_string()
    text_digest = hashlib.sha256(text.encode()).hexdigest()
    onnx_bytes = build_version_model(contract, booster.dump_model(), {**metadata, "text_digest": text_digest})
    return TrainedModel(
        text_model=text,
        text_digest=text_digest,
        onnx_bytes=onnx_bytes,
        onnx_digest=hashlib.sha256(onnx_bytes).hexdigest(),
        threshold=proposal.threshold,
        report=report,
    )


def _sum(weight: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    return float(weight[chosen].sum())
