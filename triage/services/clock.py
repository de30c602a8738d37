"""The 24 hour clock of a complaint. It runs from receipt and stops with a published fix or a reasoned rejection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

DEADLINE = timedelta(hours=24)
WARN_BEFORE = timedelta(hours=4)


class Clock(StrEnum):
    RUNNING = "running"
    MET = "met"
    BREACHED = "breached"


@dataclass(frozen=True, slots=True)
class Reading:
    """What the clock of one complaint shows."""

    state: Clock
    due_at: datetime
    left: timedelta  # until the deadline when it runs or was met, over it when breached; never negative
    is_close: bool  # runs, and needs somebody now

    @property
    def text(self) -> str:
        """Hours and minutes: "4 h 12 m"; minutes begun are not counted."""
        minutes = int(self.left.total_seconds()) // 60
        return f"{minutes // 60} h {minutes % 60} m"


def due(received_at: datetime) -> datetime:
    """Return the deadline of a complaint received then."""
    return received_at + DEADLINE


def reading(due_at: datetime, stopped_at: datetime | None, now: datetime) -> Reading:
    """Return what a clock shows that is due then and was stopped then, or still runs."""
    at = stopped_at or now
    left = due_at - at
    if left < timedelta():
        return Reading(Clock.BREACHED, due_at, -left, is_close=stopped_at is None)
    state = Clock.RUNNING if stopped_at is None else Clock.MET
    return Reading(state, due_at, left, is_close=stopped_at is None and left <= WARN_BEFORE)
