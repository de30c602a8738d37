"""Pictures of the workshop's pages, as geometry that a template writes into SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from django.utils.translation import gettext
from numpy.typing import NDArray

from detection.dial import counted, edges
from models_registry.services.dials import Dial
from models_registry.services.hunt_counts import Bar

WIDTH, HEIGHT = 400, 60


@dataclass(frozen=True, slots=True)
class Column:
    """One stretch of time with its sessions."""

    x: float
    width: float
    y: float
    height: float
    at: datetime
    sessions: int


def bar_columns(bars: Sequence[Bar], first: datetime, last: datetime, seconds: int) -> list[Column]:
    """Return columns over the whole time; their height is proportional to the sessions."""
    begin = int(first.timestamp()) // seconds
    number = int(last.timestamp()) // seconds - begin + 1
    width, tallest = WIDTH / number, max((bar.sessions for bar in bars), default=1)
    columns = []
    for bar in bars:
        height = max(1.0, HEIGHT * bar.sessions / tallest)  # a single session can be seen
        place = int(bar.at.timestamp()) // seconds - begin
        columns.append(Column(round(place * width, 2), round(max(width - 0.5, 0.5), 2), round(HEIGHT - height, 2),
                              round(height, 2), bar.at, bar.sessions))  # fmt: skip
    return columns


# ---- the threshold dial

DIAL_WIDTH, DIAL_HEIGHT = 800, 70  # of one row of bars


@dataclass(frozen=True, slots=True)
class DialBar:
    """A piece of a bar: `kind` is a colour of the style sheet's histograms."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True, slots=True)
class DialRow:
    """Scores of one origin on the scale of the dial."""

    name: str
    total: int
    bars: list[DialBar]


def dial_x(place: int, steps: int) -> float:
    """Return where the line of a step stands: bars to its right are flagged."""
    return round((place + 1) * DIAL_WIDTH / (steps + 1), 2)


def dial_rows(dial: Dial) -> list[DialRow]:
    """Return the bars of last week, of regression rows and of forward rows, with logarithmic heights."""
    at = edges([step.threshold for step in dial.steps])
    known, forward = dial.known, dial.forward
    wrong = np.array([row.wrong for row in forward.rows], np.bool_) if forward else np.zeros(0, np.bool_)
    drawn = forward.raw if forward else np.zeros(0)
    return [
        _dial_row(gettext("last week's sessions"), {"uninspected": dial.counts}),
        _dial_row(
            gettext("regression rows"),
            {"clean": counted(known.raw[~known.positive], at), "hit": counted(known.raw[known.positive], at)},
        ),
        _dial_row(gettext("forward rows"), {"clean": counted(drawn[wrong], at), "hit": counted(drawn[~wrong], at)}),
    ]


def _dial_row(name: str, counts: dict[str, NDArray[np.int64]]) -> DialRow:
    totals = np.sum(list(counts.values()), axis=0)
    tallest = math.log1p(int(totals.max())) or 1.0
    width = DIAL_WIDTH / len(totals)
    bars = []
    for place in np.flatnonzero(totals).tolist():
        y, height = float(DIAL_HEIGHT), DIAL_HEIGHT * math.log1p(int(totals[place])) / tallest
        for kind, found in counts.items():
            if count := int(found[place]):
                part = height * count / int(totals[place])
                y -= part
                size = round(width * 0.86, 2), round(part, 2)
                bars.append(DialBar(kind, round(place * width, 2), round(y, 2), *size, f"{count:,}"))
    return DialRow(name, int(totals.sum()), bars)
