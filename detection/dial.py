"""The threshold dial: for each threshold of a scale, what it would mean. Raw sums in, one row per threshold out.

Thresholds are even in raw score, which spreads what probabilities press against 0 and 1, and readable in probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection import proof
from detection.proof import ProofRow
from detection.thresholds import raw_threshold, sigmoid

LOW, HIGH, STEPS = -8.0, 8.0, 160  # raw; 0.0003 to 0.9997 in probability
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Known:
    """Regression rows as a version scores them: hold-out rows are not for tuning."""

    raw: Floats
    positive: NDArray[np.bool_]
    rule_hit: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Forward:
    """Answered proof rows of a version, drawn from what it flags at `since`: below that nothing is known."""

    rows: Sequence[ProofRow]
    raw: Floats
    since: float  # raw threshold of the draw


@dataclass(frozen=True, slots=True)
class Step:
    """What one threshold would mean."""

    threshold: float
    alerts: int  # sessions of the week at or above it
    alerts_per_day: float
    lost: int  # known attacks below it that rules miss: they block
    covered_lost: int  # that rules cover
    wrong: int  # known negatives at or above it: they block
    nearest_negative: float | None  # the known negative closest to it, as a probability
    bound: float | None  # of precision, by forward rows; None where none is known
    labels: int  # that the bound rests on

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def scale(*others: float) -> list[float]:
    """Return the thresholds of the dial in order: an even scale, and others that have a name."""
    even = (_readable(sigmoid(raw)) for raw in np.linspace(LOW, HIGH, STEPS + 1).tolist())
    return sorted({*even, *(one for one in others if 0.0 < one < 1.0)})


def edges(thresholds: Sequence[float]) -> Floats:
    """Return the raw sums from which verdicts are positive, threshold by threshold."""
    return np.array([raw_threshold(one) for one in thresholds])


def counted(raw: Floats, at: Floats) -> NDArray[np.int64]:
    """Return how many sums stand below the first edge, between two edges, and at or above the last one."""
    return np.bincount(np.searchsorted(at, raw[~np.isnan(raw)], side="right"), minlength=len(at) + 1)


def steps(
    thresholds: Sequence[float], counts: NDArray[np.int64], days: float, known: Known, forward: Forward | None
) -> list[Step]:
    """Return what each threshold means; `counts` are of the week's traffic, as `counted` makes them."""
    at = edges(thresholds)
    above = np.cumsum(counts[::-1])[::-1][1:]
    return [
        _step(threshold, float(raw), int(alerts), days, known, forward)
        for threshold, raw, alerts in zip(thresholds, at, above, strict=True)
    ]


def _step(threshold: float, raw: float, alerts: int, days: float, known: Known, forward: Forward | None) -> Step:
    below = ~(known.raw >= raw)
    negatives = known.raw[~known.positive]
    nearest = float(negatives[np.abs(negatives - raw).argmin()]) if len(negatives) else None
    bound, labels = _bound(raw, forward)
    return Step(
        threshold=threshold,
        alerts=alerts,
        alerts_per_day=alerts / days,
        lost=int((below & known.positive & ~known.rule_hit).sum()),
        covered_lost=int((below & known.positive & known.rule_hit).sum()),
        wrong=int((~below & ~known.positive).sum()),
        nearest_negative=None if nearest is None else sigmoid(nearest),
        bound=bound,
        labels=labels,
    )


def _bound(raw: float, forward: Forward | None) -> tuple[float | None, int]:
    """Return the precision bound of what stands at or above a raw sum; below the draw nobody was asked."""
    if forward is None or raw < forward.since:
        return None, 0
    rows = [row for row, one in zip(forward.rows, forward.raw.tolist(), strict=True) if one >= raw]
    found = proof.prove(rows)
    return (found.precision_bound, found.labels) if found else (None, 0)


def _readable(threshold: float) -> float:
    """Return a probability as people copy it into YAML."""
    return float(f"{threshold:.3g}") if threshold < 0.5 else round(1.0 - float(f"{1.0 - threshold:.3g}"), 12)
