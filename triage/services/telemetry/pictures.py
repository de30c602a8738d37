"""Pictures of streams, as geometry that a template writes into SVG: shares day by day, and what they add up to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from detection.divergence import POLICY, usual_shares
from triage.models import StreamDay

WIDTH, HEIGHT = 720, 200
LOW_TOP, LOW_HEIGHT = 216, 64  # the statistic below the shares
SMALL_WIDTH, SMALL_HEIGHT = 240, 56
_LEAST, _MOST = 0.1, 1e6  # of the statistic's axis


@dataclass(frozen=True, slots=True)
class Point:
    """One day. Distances are from the top; `low`, `high`: where its share usually lies."""

    x: float
    y: float | None  # None: nothing was flagged
    low: float
    high: float
    day: date
    text: str  # its counts
    is_alarm: bool
    state: str  # "learning", "untested" or "tested"
    bar_y: float
    bar_height: float
    statistic: float


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A stream's days from left to right."""

    points: list[Point]
    shares: list[str]  # points of polylines: one for each run of days that came
    reference: str
    since: float | None  # x at which the change began
    needed: float  # height of A
    step: float  # width of a day
    down: list[Tick]
    across: list[Tick]


def of_stream(days: Sequence[StreamDay], needed: float, since: date | None = None) -> Picture | None:
    """Draw a stream; `days`: oldest first, `since`: the day on which its change began."""
    if not days:
        return None
    frame = _Frame(days, WIDTH, HEIGHT)
    return Picture(
        points=frame.points(),
        shares=frame.lines(),
        reference=frame.reference(),
        since=frame.x(since) if since is not None and since >= days[0].day else None,
        needed=_height(needed),
        step=round(frame.step, 2),
        down=[Tick(frame.y(share), f"{100 * share:g} %") for share in frame.round_shares()],
        across=[Tick(frame.x(row.day), f"{row.day:%m-%d}") for row in days if row.day.weekday() == 0][-14:],
    )


@dataclass(frozen=True, slots=True)
class Small:
    """The same without axes, for many beside each other."""

    shares: list[str]
    reference: str
    band: str  # points of a polygon: where shares usually lie
    alarms: list[tuple[float, float]]
    since: float | None


def small(days: Sequence[StreamDay], since: date | None = None) -> Small | None:
    """Draw a stream small; `days`: oldest first."""
    if not days:
        return None
    frame = _Frame(days, SMALL_WIDTH, SMALL_HEIGHT)
    told = [(frame.x(row.day), at) for at, row in enumerate(days) if row.n and frame.known[at]]
    upper = [f"{x},{frame.y(frame.high[at])}" for x, at in told]
    lower = [f"{x},{frame.y(frame.low[at])}" for x, at in reversed(told)]
    return Small(
        shares=frame.lines(),
        reference=frame.reference(),
        band=" ".join([*upper, *lower]),
        alarms=[(frame.x(row.day), frame.y(row.ratio)) for row in days if row.is_alarm and row.ratio is not None],
        since=frame.x(since) if since is not None and since >= days[0].day else None,
    )


class _Frame:
    """Where days and shares stand."""

    def __init__(self, days: Sequence[StreamDay], width: float, height: float) -> None:
        self.days, self.width, self.height = days, width, height
        n, mu, phi = (np.array([getattr(row, name) for row in days], float) for name in ("n", "mu", "phi"))
        self.low: Any
        self.high: Any
        self.low, self.high = usual_shares(np.maximum(n, 1), mu, phi)
        told = [row.ratio for row in days if row.ratio is not None]
        self.known = [_is_known(row) for row in days]
        usual = self.high[(n > 0) & self.known]
        self.top = min(1.0, 1.1 * max([0.02, *told, *(usual[np.isfinite(usual)].tolist())]))
        self.step = width / max((days[-1].day - days[0].day).days + 1, 7)

    def x(self, day: date) -> float:
        return round(((day - self.days[0].day).days + 0.5) * self.step, 1)

    def y(self, share: float) -> float:
        return round(self.height * (1 - min(max(float(share) / self.top, 0.0), 1.0)), 1)

    def lines(self) -> list[str]:
        """Return the shares; a day that did not come, or told of nothing, interrupts the line."""
        lines: list[list[str]] = [[]]
        before: date | None = None
        for row in self.days:
            if row.ratio is None:
                continue
            if before is not None and row.day - before > timedelta(days=1):
                lines.append([])
            lines[-1].append(f"{self.x(row.day)},{self.y(row.ratio)}")
            before = row.day
        return [" ".join(line) for line in lines if line]

    def reference(self) -> str:
        known = (row for row, is_known in zip(self.days, self.known, strict=True) if is_known)
        return " ".join(f"{self.x(row.day)},{self.y(row.mu)}" for row in known)

    def points(self) -> list[Point]:
        return [
            Point(
                x=self.x(row.day),
                y=None if row.ratio is None else self.y(row.ratio),
                low=self.y(self.low[at]),
                high=self.y(self.high[at]),
                day=row.day,
                text=f"{row.x:,} / {row.n:,}",
                is_alarm=row.is_alarm,
                state="learning" if row.is_learning else "tested" if row.is_tested else "untested",
                bar_y=_height(row.statistic),
                bar_height=round(LOW_TOP + LOW_HEIGHT - _height(row.statistic), 1),
                statistic=row.statistic,
            )
            for at, row in enumerate(self.days)
        ]

    def round_shares(self) -> list[float]:
        """Return three to six shares with few digits for the axis."""
        unit = 10 ** math.floor(math.log10(self.top))
        step = next(one * unit for one in (0.1, 0.2, 0.5, 1.0, 2.0) if self.top / (one * unit) <= 5)
        return [step * place for place in range(int(self.top / step) + 1)]


def _is_known(row: StreamDay) -> bool:
    """Whether the reference stood on something that day: the first ones of a stream say what is assumed of all."""
    return not row.is_learning or row.a0 + row.b0 + row.ref_n - row.n >= POLICY.least_reference


def _height(statistic: float) -> float:
    """Return where a statistic stands, on a logarithmic axis."""
    inside = min(max(statistic, _LEAST), _MOST)
    share = math.log(inside / _LEAST) / math.log(_MOST / _LEAST)
    return round(LOW_TOP + LOW_HEIGHT * (1 - share), 1)
