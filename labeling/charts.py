"""Pictures of the workshop's pages, as geometry that a template writes into SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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
