"""Pictures of hosts at risk, as geometry that a template writes into SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from detection.adaptive import POLICY, Policy
from triage.models import RiskNight

WIDTH, HEIGHT, FOOT = 720, 240, 18
_RAREST = 1e-7  # lower end of the axis of probabilities
_POINTS = 120


@dataclass(frozen=True, slots=True)
class Column:
    """So many past days with a value between `low` and `high`, decayed."""

    x: float
    width: float
    y: float
    height: float
    low: float
    high: float
    days: float


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Values from left to right, each twice the one two steps before; how rare downwards. None: outside or unknown."""

    columns: list[Column]
    own: str  # points of a polyline
    organisation: str
    blend: str
    threshold: float | None  # x
    today: float | None
    across: list[Tick]
    down: list[Tick]


def of_entity(
    counts: Any, weight: float, curve: Sequence[float], threshold: float | None, today: float, policy: Policy = POLICY
) -> Picture:
    """Draw the past of one entity. counts [bins] and weight as of the same day."""
    own, g = np.asarray(counts, float), np.asarray(curve, float)
    x = policy.representatives
    high = max(float(threshold or 0), today, float(x[own > 0].max(initial=0.0)), 8.0)
    low = policy.least / 2
    scale = _Scale(math.log(low), math.log(high * 4))
    grid = np.exp(np.linspace(scale.low, scale.high, _POINTS))
    kernel = np.exp(-grid[:, None] / x)
    blend = (policy.kappa0 * g + own) @ kernel.T / (policy.kappa0 + weight)
    return Picture(
        columns=_columns(own, scale, policy),
        own=_line(grid, own @ kernel.T / weight if weight > 0 else np.zeros(_POINTS), scale),
        organisation=_line(grid, g @ kernel.T, scale),
        blend=_line(grid, blend, scale),
        threshold=scale.x(threshold) if threshold else None,
        today=scale.x(today) if today > 0 else None,
        across=[Tick(scale.x(v), f"{v:g}") for v in (0.01, 0.1, 1, 10, 100, 1000, 10_000) if low < v < high * 4],
        down=[Tick(_y(10.0**-power), f"1:{10**power:,}") for power in range(1, 7)],
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float

    def x(self, value: float) -> float:
        place = (math.log(value) - self.low) / (self.high - self.low)
        return round(WIDTH * min(max(place, 0.0), 1.0), 1)


def _y(probability: float) -> float:
    return round(HEIGHT * min(math.log(min(probability, 1.0)) / math.log(_RAREST), 1.0), 1)


def _line(grid: Any, probability: Any, scale: _Scale) -> str:
    points = [f"{scale.x(float(v))},{_y(float(p))}" for v, p in zip(grid, probability, strict=True) if p > _RAREST]
    return " ".join(points)


def _columns(counts: Any, scale: _Scale, policy: Policy) -> list[Column]:
    tallest = float(counts.max(initial=0.0))
    columns = []
    for index in np.flatnonzero(counts > 0.005).tolist():
        low = policy.least * 2 ** (index / policy.per_octave)
        high = low * 2 ** (1 / policy.per_octave)
        left, right = scale.x(low), scale.x(high)
        height = max(2.0, HEIGHT * 0.6 * float(counts[index]) / tallest)
        columns.append(
            Column(left, round(max(right - left - 1, 1), 1), round(HEIGHT - height, 1), round(height, 1), low, high,
                   float(counts[index]))
        )  # fmt: skip
    return columns


@dataclass(frozen=True, slots=True)
class NightBar:
    """The alerts of one night: opened ones, and those over budget above them."""

    x: float
    width: float
    y: float
    height: float
    over_y: float
    over_height: float
    day: date
    opened: int
    over: int


@dataclass(frozen=True, slots=True)
class Nights:
    """Alerts day by day, oldest first, under the line of the budget."""

    bars: list[NightBar]
    budget: float  # its height
    most: int  # alerts at the top
    listened: float  # width of the first days, that could not alert yet
    weeks: list[Tick]  # Mondays


def of_nights(nights: Sequence[RiskNight], budget: float) -> Nights:
    """Draw alerts a day, oldest first, beside the budget."""
    most = math.ceil(max([budget * 1.5, *(night.alerts for night in nights)], default=1.0))
    width = WIDTH / max(len(nights), 1)
    bars = []
    for index, night in enumerate(nights):
        over = night.alerts - night.opened
        height, above = 100 * night.opened / most, 100 * over / most
        bars.append(
            NightBar(round(index * width, 2), round(max(width - 1, 1), 2), round(100 - height, 2), round(height, 2),
                     round(100 - height - above, 2), round(above, 2), night.day, night.opened, over)
        )  # fmt: skip
    first = next((index for index, night in enumerate(nights) if night.fit), len(nights))
    weeks = [Tick(round(bar.x + bar.width / 2, 2), f"{bar.day:%m-%d}") for bar in bars if bar.day.weekday() == 0]
    return Nights(bars, round(100 - 100 * budget / most, 2), most, round(first * width, 2), weeks)
