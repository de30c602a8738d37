"""What a version looks at: exact TreeSHAP contributions over many sessions, their drift, and sessions to show them by.

A feature's share is its mean absolute contribution over all features' sum, once over traffic as it comes and once over
verdicts alone. Drift between two sets of shares is their total variation distance, half the sum of absolute
differences: 0 means the same, 1 that nothing is shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.contract import Contract, encode
from detection.explain import booster_of
from detection.features import feature_specs
from detection.fingerprint import title_of
from detection.scoring import features
from detection.sessions import Row
from detection.thresholds import sigmoid

EXAMPLES = 3  # sessions a feature, each way
SHOWN = 12  # features that have examples


@dataclass(frozen=True, slots=True)
class FeatureShare:
    """How much of what moves scores is one feature's."""

    name: str
    title: str
    traffic: float  # share of mean absolute contributions, 0 to 1
    verdicts: float | None  # the same over verdicts; None without any
    push: float | None  # mean contribution over verdicts, in raw score: above 0 speaks for the class

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Example:
    """A session in which a feature pushed as hard as in few others."""

    feature: str
    rid: int | None
    title: str
    value: float | None  # of the feature; None = missing
    contribution: float
    score: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Insight:
    """What a version looked at in some sessions."""

    sessions: int
    verdicts: int
    shares: tuple[FeatureShare, ...]  # the largest first
    examples: tuple[Example, ...]


def insight(
    text_model: str,
    expected_digest: str,
    contract: Contract,
    rows: Sequence[Row],
    rids: Sequence[int | None],
    is_verdict: NDArray[np.bool_],
    is_sample: NDArray[np.bool_],
) -> Insight:
    """Return what the model looks at in these sessions. `is_sample` marks those drawn as they come, the others are
    verdicts that were sought. TamperedModel when the text is not the version's."""
    columns = {name: [row[name] for row in rows] for name in contract.reads}
    values = features(contract, encode(contract, columns))
    parts = booster_of(text_model, expected_digest).predict(values, pred_contrib=True, num_threads=1)
    pushes, raw = parts[:, :-1], parts.sum(axis=1)
    traffic, verdicts = _shares(pushes[is_sample]), _shares(pushes[is_verdict])
    push = pushes[is_verdict].mean(axis=0) if is_verdict.any() else None
    found = [
        FeatureShare(
            spec.name,
            spec.title,
            float(traffic[column]),
            float(verdicts[column]) if is_verdict.any() else None,
            None if push is None else float(push[column]),
        )
        for column, spec in enumerate(feature_specs(contract))
    ]
    order = sorted(range(len(found)), key=lambda column: (-_weight(found[column]), found[column].name))
    examples = [
        Example(found[column].name, rids[row], title_of(rows[row]), _finite(values[row, column]),
                float(pushes[row, column]), sigmoid(float(raw[row])))
        for column in order[:SHOWN]
        for row in _extremes(pushes[:, column])
    ]  # fmt: skip
    used = tuple(found[column] for column in order if _weight(found[column]) > 0)
    return Insight(int(is_sample.sum()), int(is_verdict.sum()), used, tuple(examples))


def drift(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return the total variation distance of two sets of shares, 0 to 1."""
    return sum(abs(one.get(name, 0.0) - other.get(name, 0.0)) for name in one.keys() | other.keys()) / 2


def _shares(pushes: NDArray[np.float64]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = np.abs(pushes).mean(axis=0) if len(pushes) else np.zeros(pushes.shape[1])
    return means / (means.sum() or 1.0)


def _weight(share: FeatureShare) -> float:
    return max(share.traffic, share.verdicts or 0.0)


def _extremes(pushes: NDArray[np.float64]) -> list[int]:
    """Return the rows pushed hardest for the class, then those pushed hardest against it."""
    order = np.argsort(pushes, kind="stable")
    high = [row for row in order[::-1][:EXAMPLES].tolist() if pushes[row] > 0]
    return high + [row for row in order[:EXAMPLES].tolist() if pushes[row] < 0]


def _finite(value: np.float32) -> float | None:
    return float(value) if np.isfinite(value) else None
