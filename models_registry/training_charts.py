"""The learning curve of a training and the drift of a version, as geometry that a template writes into SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models_registry.services.insights import Week

WIDTH, HEIGHT = 400, 110
_SIDE = 12  # so that marks at the ends are whole


@dataclass(frozen=True, slots=True)
class Mark:
    """A number of labels: the error there, and the best and the worst fold."""

    x: float
    y: float
    top: float
    bottom: float
    labels: int
    error: float
    is_forecast: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """Measured marks and the line through them; the forecast's line is dashed."""

    marks: list[Mark]
    line: str
    forecast: str


def learning_curve(report: Mapping[str, Any]) -> Picture | None:
    """Return the picture of a report's curve, labels on a logarithmic axis; None where nothing was measured."""
    curve = report.get("learning_curve") or {}
    points = [(one["labels"], one["error"], one["low"], one["high"], False) for one in curve.get("points", [])]
    if not points:
        return None
    if ahead := curve.get("forecast"):
        points.append((ahead["labels"], ahead["error"], ahead["low"], ahead["high"], True))
    first, last = math.log(max(points[0][0], 1)), math.log(max(points[-1][0], 1))
    tallest = max(high for *_, high, _ahead in points) or 1.0

    def x(labels: float) -> float:
        share = (math.log(max(labels, 1)) - first) / (last - first) if last > first else 0.5
        return round(_SIDE + share * (WIDTH - 2 * _SIDE), 2)

    def y(error: float) -> float:
        return round(HEIGHT - error / tallest * (HEIGHT - _SIDE), 2)

    marks = [Mark(x(n), y(e), y(high), y(low), round(n), e, ahead) for n, e, low, high, ahead in points]
    measured = [mark for mark in marks if not mark.is_forecast]
    return Picture(marks, _line(measured), _line(marks[-2:]) if ahead else "")


def _line(marks: list[Mark]) -> str:
    return " ".join(f"{mark.x},{mark.y}" for mark in marks)


@dataclass(frozen=True, slots=True)
class WeekBar:
    """One week's drift."""

    week: Week
    x: float
    width: float
    y: float
    height: float


def drift_bars(weeks: Sequence[Week]) -> list[WeekBar]:
    """Return a bar a week; the whole height is everything."""
    width = WIDTH / max(len(weeks), 1)
    return [
        WeekBar(week, round(n * width, 2), round(width - 2, 2), round(HEIGHT * (1 - week.drift), 2),
                round(HEIGHT * week.drift, 2))
        for n, week in enumerate(weeks)
    ]  # fmt: skip
