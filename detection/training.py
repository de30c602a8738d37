"""Training one version: features from the ONNX graph, LightGBM, the threshold proposal and the report.

The same rows give the same bytes: rows are brought into one order, LightGBM runs deterministic with one thread per
model and a stored seed. Models of folds are trained side by side, so that both cores work.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.contract import Contract, encode
from detection.features import feature_specs
from detection.proposal import Proposal, propose, scout
from detection.scoring import features as feature_matrix
from detection.training_report import (
    Importance,
    Measure,
    SourceMeasure,
    TrainingReport,
    count_rows,
    features_of_the_source,
    measure,
    source_note,
)
from detection.training_rows import (
    ORIGINS,
    TrainingRows,
    exclude,
    group_of,
    read_training_set,
    shape_in,
    write_training_set,
)
from detection.trees import build_version_model

__all__ = [
    "ORIGINS",
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
JUDGED = ("expert", "dump", "customer")  # origins where a person knew what the session was
_PART = 4_096  # rows turned into bytes at a time

Progress = Callable[[int, int], None]  # models fitted, of how many; what it raises ends the training


class TrainingImpossible(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """These rows cannot train a model; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class TrainingPolicy:
    """Everything that decides how a model is trained; stored with its report."""

    version: int = 2
    false_positive_cost: float = 10.0  # in missed detections whose labels are trusted as much
    # trust in a label by its origin: weight of the row in training and in the threshold proposal
    expert: float = 1.0
    dump: float = 0.8
    customer: float = 0.6
    rule: float = 0.3
    language_model: float = 0.2
    background: float = 0.1
    # Background is unlabelled: a model that learns all of it by heart keeps silent about what rules miss. So trees grow
    # on all positives, every answer of a person, and a little background, drawn anew for every few of them (bagging for
    # learning from positives and unlabelled rows, Mordelet and Vert 2014). That caps the weight of background too.
    background_per_positive: float = 1.0
    trees_per_draw: int = 5
    # Until persons have judged sessions of both classes no version can leave, and the threshold is for scouting: out of
    # fold, at most so many kinds of background session stand above it. They are questions to experts.
    scouting_questions: int = 60
    question_cost: float = 0.01  # in missed detections
    # LightGBM
    seed: int = 20_260_101
    trees: int = 300
    leaves: int = 31
    learning_rate: float = 0.05
    rows_per_leaf: int = 5  # fewer where positives are few
    feature_share: float = 0.8  # of the features, drawn per tree
    leaf_penalty: float = 1.0
    # honest figures
    folds: int = 5
    folds_of_many: int = 3  # with `many_rows` a fold less costs nothing and saves minutes
    many_rows: int = 20_000
    source_models: int = 8  # more sources than this are left out together
    source_trees: int = 100  # fewer and larger steps: these models answer one question and are thrown away
    workers: int = 2  # models trained side by side; changes no byte

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def folds_for(self, rows: int) -> int:
        return self.folds if rows < self.many_rows else self.folds_of_many

    def weight_of(self, origin: str) -> float:
        return float(getattr(self, origin.replace("-", "_")))


@dataclass(frozen=True)
class TrainedModel:
    """One trained version: LightGBM's text for explanations, ONNX for everything else."""

    text_model: str
    text_digest: str
    onnx_bytes: bytes
    onnx_digest: str
    threshold: float
    report: TrainingReport


@dataclass(frozen=True)
class _Table:
    """Rows as LightGBM reads them."""

    features: NDArray[np.float32]
    label: NDArray[np.int8]
    weight: NDArray[np.float64]
    always: NDArray[np.bool_]  # every tree sees it
    names: list[str]

    def take(self, chosen: NDArray[np.intp]) -> _Table:
        parts = (self.features[chosen], self.label[chosen], self.weight[chosen], self.always[chosen])
        return _Table(*parts, self.names)


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
    specs = feature_specs(contract)
    weight, always = trust(rows, policy), seen_by_every_tree(rows)
    table = _Table(_features(contract, rows), rows.label, weight, always, [spec.name for spec in specs])
    folds = fold_of_groups(rows.group, rows.label, policy.folds_for(len(rows)), policy.seed)
    bins = bins_of_sources(rows.source, policy.source_models)
    with _Pool(max_workers=policy.workers) as pool:
        final = pool.submit(_fit, table, policy, policy.trees)
        of_folds = None if folds is None else _unseen(pool, table, folds, lambda seen: _fit(seen, policy, policy.trees))
        of_sources = _unseen(
            pool, table, _bin_of_rows(rows.source, bins), lambda seen: _fit(seen, policy, policy.source_trees)
        )
        pool.watch(progress)
        booster = final.result()
        raw = _raw(booster, table.features) if of_folds is None else of_folds()
        source_raw = of_sources()
    proposal = _proposal(raw, rows, policy)
    titles = [(spec.name, spec.title) for spec in specs]
    report = TrainingReport(
        counts=count_rows(rows.label, rows.source, rows.origin, rows.group)
        | {
            "weight": {"positive": _sum(weight, rows.label == 1), "negative": _sum(weight, rows.label == 0)},
        },
        proposal=proposal,
        folds=0 if folds is None else int(folds.max()) + 1,
        out_of_fold=measure(raw, table.label, proposal.raw),
        out_of_fold_by_origin=_by_origin(raw, rows, proposal),
        left_out=_left_out(source_raw, rows, bins, proposal),
        left_out_models=len(bins) if len(bins) > 1 else 0,
        source_features=features_of_the_source(table.features, titles, rows.label, rows.source),
        importance=_importance(booster, titles),
        policy=policy.to_dict(),
        notes=tuple(_notes(folds, proposal, rows, len(bins), policy)),
    )
    return _packed(booster, contract, proposal, report, metadata or {})


class _Pool(ThreadPoolExecutor):
    """Threads that fit models, and how many are done."""

    def __init__(self, max_workers: int) -> None:
        super().__init__(max_workers=max_workers)
        self._started: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        self._started.append(future)
        return future

    def watch(self, progress: Progress | None) -> None:
        """Tell after each model; where telling raises, the models that wait are not fitted."""
        if progress is None:
            return
        try:
            for number, _future in enumerate(as_completed(self._started), start=1):
                progress(number, len(self._started))
        except BaseException:
            self.shutdown(wait=False, cancel_futures=True)
            raise


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


def is_scouting(rows: TrainingRows) -> bool:
    """Has nobody yet judged sessions of both classes?"""
    return len(np.unique(rows.label[_judged(rows)])) < 2


def _judged(rows: TrainingRows) -> NDArray[np.bool_]:
    return np.array([origin in JUDGED for origin in rows.origin], dtype=np.bool_)


def trust(rows: TrainingRows, policy: TrainingPolicy) -> NDArray[np.float64]:
    """Return how much each label counts: the row's own weight times its origin's."""
    trusted: NDArray[np.float64] = rows.weight * np.array([policy.weight_of(origin) for origin in rows.origin])
    return trusted


def prices(rows: TrainingRows, policy: TrainingPolicy) -> NDArray[np.float64]:
    """Return what a wrong verdict on each row costs, false positives before their cost factor.

    Trust in the label, shared among look-alikes of one class: 100 of them are one mistake."""
    price = trust(rows, policy)
    alike = list(zip(rows.group, rows.label.tolist(), strict=True))
    sizes = Counter(alike)
    shared: NDArray[np.float64] = price / np.array([sizes[pair] for pair in alike])
    return shared


def seen_by_every_tree(rows: TrainingRows) -> NDArray[np.bool_]:
    """Return the rows no tree goes without: positives, and what persons judged. The others are drawn."""
    always: NDArray[np.bool_] = _judged(rows) | (rows.label == 1)
    return always


def draws(
    label: NDArray[np.int8], always: NDArray[np.bool_], policy: TrainingPolicy, count: int
) -> list[NDArray[np.intp]]:
    """Return the rows of each of `count` draws, ascending: those seen always, and background without repetition."""
    kept, background = np.flatnonzero(always), np.flatnonzero(~always)
    size = min(len(background), max(1, round(policy.background_per_positive * int((label == 1).sum()))))
    generator = np.random.default_rng(policy.seed)
    return [
        np.sort(np.concatenate([kept, generator.choice(background, size, replace=False)])) for _number in range(count)
    ]


def fold_of_groups(group: Sequence[str], label: NDArray[np.int8], folds: int, seed: int) -> NDArray[np.intp] | None:
    """Return the fold of every row; a group lies in one fold, and every fold leaves both classes to train on.

    Groups with positives are dealt out first, so that each fold gets some. None where the groups are too few."""
    has_positive: dict[str, bool] = {}
    for name, is_positive in zip(group, label.tolist(), strict=True):
        has_positive[name] = has_positive.get(name, False) or bool(is_positive)
    dealt: dict[str, int] = {}
    for kind in (True, False):
        names = sorted((name for name, found in has_positive.items() if found is kind), key=lambda n: _drawn(seed, n))
        dealt |= {name: place % folds for place, name in enumerate(names)}
    fold = np.array([dealt[name] for name in group], dtype=np.intp)
    used = np.unique(fold)
    if any(len(np.unique(label[fold != number])) < 2 for number in used):
        return None
    return np.searchsorted(used, fold)


def _drawn(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}|{name}".encode("utf-8", "surrogatepass")).digest()


def bins_of_sources(source: Sequence[str], most: int) -> list[list[str]]:
    """Return the sources to leave out together: each alone while they are few, else dealt by size into equal bins."""
    sizes: dict[str, int] = {}
    for name in source:
        sizes[name] = sizes.get(name, 0) + 1
    bins: list[list[str]] = [[] for _ in range(min(most, len(sizes)))]
    filled = [0] * len(bins)
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        smallest = filled.index(min(filled))
        bins[smallest].append(name)
        filled[smallest] += sizes[name]
    return bins


def _refuse_one_class(rows: TrainingRows) -> None:
    for value, name in ((1, "positive"), (0, "negative")):
        if not (rows.label == value).any():
            raise TrainingImpossible(f"no {name} row among {len(rows):,}: a model needs both classes")


def _fit(table: _Table, policy: TrainingPolicy, trees: int) -> Any:
    import lightgbm  # loaded when first used: nobody but training and explanations needs it

    positives = int((table.label == 1).sum())
    fixed = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}
    parameters = {
        **fixed,
        "objective": "binary",
        "learning_rate": policy.learning_rate * policy.trees / trees,  # fewer trees go as far in all
        "num_leaves": policy.leaves,
        "min_data_in_leaf": max(1, min(policy.rows_per_leaf, positives // 4)),
        "boost_from_average": False,  # of a draw, it would be an average of nothing
        "feature_fraction": policy.feature_share,
        "lambda_l2": policy.leaf_penalty,
    }
    parts = draws(table.label, table.always, policy, -(-trees // policy.trees_per_draw))
    scale = len(parts[0]) / table.weight[parts[0]].sum()  # the penalty means the same whatever the weights

    def dataset(chosen: NDArray[np.intp], like: Any = None) -> Any:
        taken, label, weight = table.features[chosen], table.label[chosen], table.weight[chosen] * scale
        return lightgbm.Dataset(
            taken, label, like, weight, feature_name=table.names, params=fixed, free_raw_data=like is None
        )

    bins = dataset(np.arange(len(table.label))).construct()  # where a feature may be cut: the same for all draws
    booster = None
    for number, part in enumerate(parts):
        rounds = min(policy.trees_per_draw, trees - number * policy.trees_per_draw)
        parameters["seed"] = policy.seed + number
        booster = lightgbm.train(parameters, dataset(part, bins), num_boost_round=rounds, init_model=booster)
    return booster


def _raw(booster: Any, features: NDArray[np.float32]) -> NDArray[np.float64]:
    raw: NDArray[np.float64] = booster.predict(features, raw_score=True, num_threads=1)
    return raw


def _unseen(
    pool: ThreadPoolExecutor, table: _Table, fold: NDArray[np.intp], fit: Callable[[_Table], Any]
) -> Callable[[], NDArray[np.float64]]:
    """Start one model per fold, trained without it. The answer waits for them and returns the raw score of every row by
    the model that never saw its fold; NaN where the others lack a class."""

    def score(unseen: NDArray[np.bool_]) -> NDArray[np.float64]:
        return _raw(fit(table.take(np.flatnonzero(~unseen))), table.features[unseen])

    started = []
    for number in range(int(fold.max()) + 1):
        unseen = fold == number
        if len(np.unique(table.label[~unseen])) == 2:
            started.append((unseen, pool.submit(score, unseen)))

    def wait() -> NDArray[np.float64]:
        raw = np.full(len(fold), np.nan)
        for unseen, future in started:
            raw[unseen] = future.result()
        return raw

    return wait


def _bin_of_rows(source: Sequence[str], bins: Sequence[Sequence[str]]) -> NDArray[np.intp]:
    number_of = {name: number for number, names in enumerate(bins) for name in names}
    return np.array([number_of[name] for name in source], dtype=np.intp)


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
