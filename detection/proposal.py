"""Where to put a threshold: the cheapest cut through scores, in the middle of its gap; for scouting, a budget.

    cost(t) = false_positive_cost * weight of negatives at or above t + weight of positives below t

Of equally cheap cuts the highest is taken, so a higher cost of false positives never lowers the threshold: for the
chosen cuts t1, t2 of costs c1 < c2, optimality of both gives (c2 - c1) * (FP(t2) - FP(t1)) <= 0. Sums are integers,
so that rounding cannot break a tie the other way.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.thresholds import raw_threshold, sigmoid

_WEIGHT_UNITS = 1 << 20  # weights become integers of this fraction
_OPEN_END = 1.0  # how far above the highest (below the lowest) score, where the cut has no other side
_SMALLEST = 1e-12  # thresholds stay inside (0, 1)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A threshold and how much room it has. Distances are from the threshold to the nearest negative.

    A nearest negative at or above the threshold has a distance of 0 or less: it is a false positive."""

    threshold: float
    raw: float
    gap_below_raw: float | None  # the scores on either side of the cut; None at an open end
    gap_above_raw: float | None
    nearest_negative: float  # as a probability
    nearest_negative_raw: float
    distance: float
    distance_raw: float
    false_positives: int  # rows, of those the proposal was made on
    lost_positives: int
    false_positive_cost: float
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def propose(
    raw: NDArray[np.float64], label: NDArray[np.int8], weight: NDArray[np.float64], *, false_positive_cost: float
) -> Proposal:
    """Return the proposed threshold for these raw scores; both classes must be there."""
    if not (math.isfinite(false_positive_cost) and false_positive_cost > 0):
        raise ValueError(f"false_positive_cost: expected a number above 0, got {false_positive_cost}")
    positive = label == 1
    if not positive.any() or positive.all():
        raise ValueError("a threshold needs scores of both classes")
    scores, cut = _cheapest_cut(raw, positive, weight, Fraction(false_positive_cost))
    note = "" if cut < len(scores) else "no cut pays at this cost: the threshold stands above every score"
    return _at_cut(raw, positive, scores, cut, false_positive_cost, note)


def scout(
    raw: NDArray[np.float64], label: NDArray[np.int8], kind: Sequence[str], *, questions: int, question_cost: float
) -> Proposal:
    """Return the threshold of a first version: above it stand negatives of at most `questions` kinds.

    They are asked about. A question costs little (`question_cost`, in missed detections), so the budget decides, except
    where all that is worth asking stands higher."""
    positive = label == 1
    highest: dict[str, float] = {}
    for row in np.flatnonzero(~positive).tolist():
        highest[kind[row]] = max(float(raw[row]), highest.get(kind[row], -math.inf))
    tops = sorted(highest.values(), reverse=True)
    scores, cheapest = _cheapest_cut(raw, positive, np.ones(len(raw)), Fraction(question_cost))
    within_budget = bisect_right(scores, tops[questions]) if len(tops) > questions else 0
    return _at_cut(raw, positive, scores, max(cheapest, within_budget), question_cost, "")


def _at_cut(
    raw: NDArray[np.float64],
    positive: NDArray[np.bool_],
    scores: list[float],
    cut: int,
    false_positive_cost: float,
    note: str,
) -> Proposal:
    below = scores[cut - 1] if cut else None
    above = scores[cut] if cut < len(scores) else None
    threshold = _readable_middle(
        scores[0] - 2 * _OPEN_END if below is None else below, scores[-1] + 2 * _OPEN_END if above is None else above
    )
    at = raw_threshold(threshold)
    negatives = raw[~positive]
    nearest = float(negatives[np.abs(negatives - at).argmin()])
    return Proposal(
        threshold=threshold,
        raw=at,
        gap_below_raw=below,
        gap_above_raw=above,
        nearest_negative=sigmoid(nearest),
        nearest_negative_raw=nearest,
        distance=threshold - sigmoid(nearest),
        distance_raw=at - nearest,
        false_positives=int((negatives >= at).sum()),
        lost_positives=int((raw[positive] < at).sum()),
        false_positive_cost=false_positive_cost,
        note=note,
    )


def _cheapest_cut(
    raw: NDArray[np.float64], positive: NDArray[np.bool_], weight: NDArray[np.float64], cost: Fraction
) -> tuple[list[float], int]:
    """Return the distinct scores in order and the place of the cut: everything from that place on is flagged."""
    scores, place = np.unique(raw, return_inverse=True)
    units = np.maximum(np.rint(weight * (_WEIGHT_UNITS / weight.mean())), 1)
    sums = {
        kind: np.bincount(place[chosen], weights=units[chosen], minlength=len(scores)).astype(np.int64).tolist()
        for kind, chosen in ((True, positive), (False, ~positive))
    }
    # in units of 1 / cost.denominator, from the cut below everything upwards
    price = cost.numerator * sum(sums[False])
    best, cut = price, 0
    for at, (lost, freed) in enumerate(zip(sums[True], sums[False], strict=True), start=1):
        price += cost.denominator * lost - cost.numerator * freed
        if price <= best:
            best, cut = price, at
    return scores.tolist(), cut


def _readable_middle(below: float, above: float) -> float:
    """Return the probability with the fewest decimals inside the middle half of the gap; people copy it into YAML."""
    middle = sigmoid(below / 2 + above / 2)
    quarter = above / 4 - below / 4
    for decimals in range(2, 16):
        threshold = round(middle, decimals)
        if 0.0 < threshold < 1.0 and below + quarter <= raw_threshold(threshold) <= above - quarter:
            return threshold
    # no probability names the gap: the next one above its lower side, which lets no negative through
    return min(max(math.nextafter(sigmoid(below), 1.0), _SMALLEST), 1.0 - _SMALLEST)
