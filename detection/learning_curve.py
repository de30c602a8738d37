"""What more labels would bring: nested shares of the judged groups, scored on folds of groups that no share holds.

The measure is 1 - average precision on judged rows: the area above the precision-recall curve, 0 for a perfect order.
Errors of learners fall as a power of the number of labels over a wide middle range (Hestness et al. 2017):

    error(n) = a * n ** -b,    log error = log a - b * log n

Each fold gives its own least-squares line through its points, so what differs between folds in level does not blur the
slope. Between folds, b has a mean and a 95 % interval (Student's t). Where the interval holds 0, where labels or groups
are few, or where the question lies further off than twice the labels there are, the answer is that it cannot be told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from detection.cross_validation import drawn

Rows = NDArray[np.intp]
REACH = 2.0  # times the labels there are
FLAT = 0.1  # a power below it: twice the labels take less than 7 % off the error


@dataclass(frozen=True, slots=True)
class Point:
    """A number of labels, and the error without them in the fold; means over folds."""

    labels: float
    error: float
    low: float  # the best and the worst fold
    high: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What `more` labels of the same kind would bring."""

    more: int
    labels: int  # in all, then
    error: float
    low: float  # 95 % interval
    high: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Curve:
    """The measured points, the power and the forecast; `why_not` where nothing can be told."""

    labels: int  # judged rows there are
    points: tuple[Point, ...] = ()
    power: float | None = None
    power_low: float | None = None
    power_high: float | None = None
    forecast: Forecast | None = None
    why_not: str = ""
    figures: dict[str, float] = field(default_factory=dict)  # numbers of `why_not`, for a translated text

    def to_dict(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in ("labels", "power", "power_low", "power_high", "why_not")}
        points = [point.to_dict() for point in self.points]
        return {**told, "points": points, "forecast": self.forecast and self.forecast.to_dict(), **self.figures}


def nested_shares(group: Sequence[str], rows: Rows, shares: Sequence[float], seed: int) -> list[Rows]:
    """Return for each share the rows of the first groups in a keyed order that hold it: each share is in the next."""
    names = sorted({group[row] for row in rows.tolist()}, key=lambda name: drawn(seed, f"curve {name}"))
    place = {name: number for number, name in enumerate(names)}
    order = np.array([place[group[row]] for row in rows.tolist()], dtype=np.intp)
    sizes = np.cumsum(np.bincount(order, minlength=len(names)))
    last = [int(np.searchsorted(sizes, share * len(rows))) for share in shares]
    return [rows[order <= number] for number in last]


def average_precision(raw: NDArray[np.float64], label: NDArray[np.int8]) -> float:
    """Return the mean precision at each positive, ties shared; 0 without positives."""
    distinct, place = np.unique(-raw, return_inverse=True)
    positives = np.bincount(place, weights=label == 1, minlength=len(distinct))
    flagged = np.cumsum(np.bincount(place, minlength=len(distinct)))
    found = np.cumsum(positives)
    total = found[-1] if len(found) else 0
    return float((positives * found / flagged).sum() / total) if total else 0.0


def curve(errors: Sequence[Sequence[tuple[int, float]]], labels: int, more: int) -> Curve:
    """Return the curve of folds, each a list of (labels learnt from, error), the fewest labels first."""
    points = tuple(_point(at) for at in zip(*errors, strict=True))
    slopes = [_line(fold) for fold in errors]
    if len(points) < 3 or len(slopes) < 3:
        return Curve(labels, points, why_not="few points")
    powers = np.array([-slope for slope, _level in slopes])
    mean, spread = float(powers.mean()), float(powers.std(ddof=1)) / math.sqrt(len(powers))
    reach = float(stdtrit(len(powers) - 1, 0.975)) * spread
    told = Curve(labels, points, power=mean, power_low=mean - reach, power_high=mean + reach)
    if points[-1].error < 1e-9:
        return Curve(labels, points, why_not="no error left")
    if mean - reach <= 0:
        return replace(told, why_not="flat" if mean + reach < FLAT else "noisy")
    asked = min(more, int((REACH - 1) * labels))
    factor = (points[-1].labels + asked) / points[-1].labels
    error, low, high = (points[-1].error * factor**-power for power in (mean, mean + reach, mean - reach))
    return replace(told, forecast=Forecast(asked, labels + asked, error, low, high))


def _point(at: Sequence[tuple[int, float]]) -> Point:
    labels, errors = zip(*at, strict=True)
    return Point(float(np.mean(labels)), float(np.mean(errors)), min(errors), max(errors))


def _line(fold: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Return slope and level of log error over log labels; an error of nothing counts as one in ten thousand."""
    labels, errors = (np.array(values, dtype=np.float64) for values in zip(*fold, strict=True))
    x, y = np.log(np.maximum(labels, 1.0)), np.log(np.maximum(errors, 1e-4))
    if np.ptp(x) == 0:
        return 0.0, float(y.mean())
    slope, level = np.polyfit(x, y, 1)
    return float(slope), float(level)
