"""What a training shows about itself: measures at a threshold, per source, and features that know the source too well.

Figures of training rows are no claim about the world: rows were chosen, weak labels are opinions of rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.fingerprint import title_of
from detection.learning_curve import Curve, average_precision
from detection.proposal import Proposal
from detection.thresholds import sigmoid
from detection.training_policy import TrainingPolicy, draws
from detection.training_rows import ORIGINS, TrainingRows

_BINS = 16  # of a feature, missing values apart
_LISTED = 50  # complaints in a report
_LEAST_SOURCE_SHARE = 0.05  # a feature that explains less of the source is not worth a line


@dataclass(frozen=True, slots=True)
class Measure:
    """What a threshold does on rows that the scoring model has not seen. None: nothing to divide by."""

    positives: int
    negatives: int
    true_positives: int
    false_positives: int

    @property
    def precision(self) -> float | None:
        flagged = self.true_positives + self.false_positives
        return self.true_positives / flagged if flagged else None

    @property
    def recall(self) -> float | None:
        return self.true_positives / self.positives if self.positives else None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "precision": self.precision, "recall": self.recall}


@dataclass(frozen=True, slots=True)
class SourceMeasure:
    """A source as a model saw it that never met it."""

    source: str
    measure: Measure | None  # None: without this source one class is missing
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        figures = self.measure.to_dict() if self.measure else {}
        return {"source": self.source, **figures, "measured": self.measure is not None, "note": self.note}


@dataclass(frozen=True, slots=True)
class SourceFeature:
    """A feature that tells more about the source than about the class: a model may learn the source from it."""

    name: str
    title: str
    source_share: float  # of the source's entropy that the feature explains, 0 to 1
    class_share: float  # of the class's entropy

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Importance:
    name: str
    title: str
    gain: float  # sum of loss reductions, as a share of all
    splits: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Validation:
    """Rows as models saw them that knew nothing of their kind: their host, their look, their time."""

    kind: str
    rows: int  # that some model could be asked about
    measure: Measure
    average_precision: float | None  # whatever the threshold; None without positives

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "rows": self.rows,
            **self.measure.to_dict(),
            "average_precision": self.average_precision,
        }


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time as a model saw it that was trained on what came before. Times in microseconds, UTC."""

    first: int
    last: int
    learnt_from: int  # rows before it
    sources: int
    validation: Validation

    def to_dict(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in ("first", "last", "learnt_from", "sources")}
        return told | self.validation.to_dict()


@dataclass(frozen=True, slots=True)
class Share:
    """What one origin of labels brings into a training."""

    origin: str
    positive: int
    negative: int
    trust: float  # weight of one row, mean
    weight: float  # of all its rows
    tree_share: float  # of the weight that one tree sees: background is drawn, and so capped

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """Stored with the version."""

    counts: dict[str, Any]
    proposal: Proposal
    folds: int  # 0: too few groups, the figures are of rows the model was trained on
    out_of_fold: Measure
    out_of_fold_by_origin: dict[str, Measure]
    composition: tuple[Share, ...]
    validations: tuple[Validation, ...]
    by_time: tuple[Stretch, ...]
    learning_curve: Curve
    complaints: dict[str, Any]
    left_out: tuple[SourceMeasure, ...]
    left_out_models: int
    source_features: tuple[SourceFeature, ...]
    importance: tuple[Importance, ...]
    policy: dict[str, Any]
    parameters: dict[str, Any]  # of LightGBM
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "version": 2,
            "counts": self.counts,
            "composition": [share.to_dict() for share in self.composition],
            "threshold": self.proposal.to_dict(),
            "out_of_fold": {
                "folds": self.folds,
                **self.out_of_fold.to_dict(),
                "by_origin": {origin: measure.to_dict() for origin, measure in self.out_of_fold_by_origin.items()},
            },
            "cross_validation": [one.to_dict() for one in self.validations],
            "by_time": [stretch.to_dict() for stretch in self.by_time],
            "learning_curve": self.learning_curve.to_dict(),
            "complaints": self.complaints,
            "leave_one_source_out": {
                "models": self.left_out_models,
                "sources": [source.to_dict() for source in self.left_out],
            },
            "source_features": [feature.to_dict() for feature in self.source_features],
            "importance": [feature.to_dict() for feature in self.importance],
            "policy": self.policy,
            "parameters": self.parameters,
            "notes": list(self.notes),
        }


def measure(raw: NDArray[np.float64], label: NDArray[np.int8], raw_threshold: float) -> Measure:
    """Count what this threshold does on these rows."""
    flagged, positive = raw >= raw_threshold, label == 1
    return Measure(
        positives=int(positive.sum()),
        negatives=int((~positive).sum()),
        true_positives=int((flagged & positive).sum()),
        false_positives=int((flagged & ~positive).sum()),
    )


def validation(kind: str, raw: NDArray[np.float64], label: NDArray[np.int8], raw_threshold: float) -> Validation:
    """Return the figures of the rows that have a score."""
    scored = ~np.isnan(raw)
    raw, label = raw[scored], label[scored]
    precision = average_precision(raw, label) if (label == 1).any() else None
    return Validation(kind, len(raw), measure(raw, label, raw_threshold), precision)


def by_time(
    blocks: Sequence[NDArray[np.intp]], raw: NDArray[np.float64], rows: TrainingRows, raw_threshold: float
) -> tuple[Stretch, ...]:
    """Return the figures of each stretch but the first."""
    found, before = [], 0
    for number, block in enumerate(blocks):
        starts = [rows.rows["start"][row] for row in block.tolist()]
        sources = len({rows.source[row] for row in block.tolist()})
        figures = validation("time", raw[block], rows.label[block], raw_threshold)
        if number:
            found.append(Stretch(min(starts), max(starts), before, sources, figures))
        before += len(block)
    return tuple(found)


def composition(
    rows: TrainingRows, weight: NDArray[np.float64], always: NDArray[np.bool_], policy: TrainingPolicy
) -> tuple[Share, ...]:
    """Return what each origin brings, the strongest first."""
    drawn = draws(rows.label, always, policy, 1)[0]
    share_drawn = (~always[drawn]).sum() / max(1, (~always).sum())
    in_tree = weight * np.where(always, 1.0, share_drawn)
    origins = np.array(rows.origin, dtype=object)
    return tuple(
        Share(
            origin=origin,
            positive=int((rows.label[mine] == 1).sum()),
            negative=int((rows.label[mine] == 0).sum()),
            trust=float(weight[mine].mean()),
            weight=float(weight[mine].sum()),
            tree_share=float(in_tree[mine].sum() / in_tree.sum()),
        )
        for origin in ORIGINS
        if (mine := origins == origin).any()
    )


def complaints(
    rows: TrainingRows, raw: NDArray[np.float64], unseen_raw: NDArray[np.float64], proposal: Proposal
) -> dict[str, Any]:
    """Return the confirmed complaints that were trained on, and those that the model flags all the same.

    Above the highest of them a threshold mends them all; what it would lose is counted on rows out of fold."""
    mine = np.array([origin == "customer" for origin in rows.origin], dtype=np.bool_) & (rows.label == 0)
    flagged = np.flatnonzero(mine & (raw >= proposal.raw))
    told: dict[str, Any] = {"rows": int(mine.sum()), "flagged": len(flagged)}
    if not len(flagged):
        return told
    order = sorted(flagged.tolist(), key=lambda row: (-raw[row], rows.key[row]))
    highest = float(raw[order[0]])
    positive = rows.label == 1
    return told | {
        "highest": sigmoid(highest),
        "positives": int(positive.sum()),
        "lost_now": int((unseen_raw[positive] < proposal.raw).sum()),
        "lost_then": int((unseen_raw[positive] <= highest).sum()),
        "listed": [
            {
                "key": rows.key[row],
                "source": rows.source[row],
                "title": title_of({name: column[row] for name, column in rows.rows.items()}),
                "score": sigmoid(float(raw[row])),
            }
            for row in order[:_LISTED]
        ],
    }


def count_rows(
    label: NDArray[np.int8], source: Sequence[str], origin: Sequence[str], group: Sequence[str]
) -> dict[str, Any]:
    """Return rows per class, source and origin, and the number of groups of look-alikes."""
    return {
        "rows": len(label),
        "groups": len(set(group)),
        "positive": int((label == 1).sum()),
        "negative": int((label == 0).sum()),
        "sources": _per_class(source, label),
        "origins": _per_class(origin, label),
    }


def source_note(found: Measure) -> str:
    """Say what cannot be known of a source with rows of one class only."""
    if not found.positives:
        return "no positive rows: recall is unknown, every flagged row is a false positive"
    if not found.negatives:
        return "no negative rows: precision says nothing"
    return ""


def features_of_the_source(
    features: NDArray[np.float32],
    names: Sequence[tuple[str, str]],  # (name, title) per column
    label: NDArray[np.int8],
    source: Sequence[str],
) -> tuple[SourceFeature, ...]:
    """Return the features that predict the source better than the class, the worst first.

    Each feature is cut into at most 16 bins of equal count and one for missing values. Its mutual information with the
    source (the class) is divided by the entropy of the source (the class): 1 means that the feature alone tells it.
    The bias of the plug-in estimate, (bins - 1)(values - 1) / 2n, is taken off first (Miller 1955)."""
    sources = np.unique(np.asarray(source, dtype=object).astype(str), return_inverse=True)[1]
    if sources.max(initial=0) == 0:
        return ()
    found = []
    for column, (name, title) in enumerate(names):
        bins = _binned(features[:, column])
        shares = explained_share(bins, sources), explained_share(bins, label.astype(np.intp))
        if shares[0] > shares[1] and shares[0] >= _LEAST_SOURCE_SHARE:
            found.append(SourceFeature(name, title, *shares))
    return tuple(sorted(found, key=lambda feature: (feature.class_share - feature.source_share, feature.name)))


def explained_share(values: NDArray[np.intp], target: NDArray[np.intp]) -> float:
    """Return the share of the target's entropy that the values explain, 0 to 1, bias taken off."""
    table = np.bincount(values * (target.max() + 1) + target, minlength=(values.max() + 1) * (target.max() + 1))
    joint = table.reshape(values.max() + 1, target.max() + 1) / len(values)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    entropy = _entropy(columns)
    if entropy == 0.0:
        return 0.0
    information = _entropy(rows) + entropy - _entropy(joint.ravel())
    bias = ((rows > 0).sum() - 1) * ((columns > 0).sum() - 1) / (2 * len(values))
    return float(min(max((information - bias) / entropy, 0.0), 1.0))


def _entropy(shares: NDArray[np.float64]) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log(some)).sum())


def _binned(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return bins of about equal count; 0 is for missing values."""
    missing = np.isnan(values)
    present = values[~missing]
    bins = np.zeros(len(values), dtype=np.intp)
    if len(present):
        distinct = np.unique(present)
        if len(distinct) > _BINS:
            distinct = np.unique(np.quantile(present, np.arange(_BINS) / _BINS, method="lower"))
        bins[~missing] = np.searchsorted(distinct, present, side="right")
    return bins


def _per_class(values: Iterable[str], label: NDArray[np.int8]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for value, is_positive in zip(values, label.tolist(), strict=True):
        counts.setdefault(value, {"positive": 0, "negative": 0})["positive" if is_positive else "negative"] += 1
    return dict(sorted(counts.items()))
