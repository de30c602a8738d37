"""The 24 hour clock of a complaint: runs from receipt, rests while the customer is asked, stops with his answer.

The answer is a published fix or a reasoned rejection. A rest moves the deadline by as long as it took."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

DEADLINE = timedelta(hours=24)
WARN_BEFORE = timedelta(hours=4)


class Clock(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    MET = "met"
    BREACHED = "breached"


@dataclass(frozen=True, slots=True)
class Reading:
    """What the clock of one complaint shows."""

    state: Clock
    due_at: datetime
    left: timedelta  # until the deadline, over it when breached; never negative
    is_close: bool  # runs, and needs somebody now

    @property
    def text(self) -> str:
        """Hours and minutes: "4 h 12 m"; minutes begun are not counted."""
        minutes = int(self.left.total_seconds()) // 60
        return f"{minutes // 60} h {minutes % 60} m"


def due(received_at: datetime) -> datetime:
    """Return the deadline of a complaint received then."""
    return received_at + DEADLINE


def resumed(due_at: datetime, paused_at: datetime, at: datetime) -> datetime:
    """Return the deadline after a rest: what was left when it began is left when it ends."""
    return due_at + max(at - paused_at, timedelta())


def warning_at(due_at: datetime) -> datetime:
    """Return the moment from which a running clock needs somebody: 20 of 24 hours have passed."""
    return due_at - WARN_BEFORE


def reading(
    due_at: datetime, stopped_at: datetime | None, now: datetime, *, paused_at: datetime | None = None
) -> Reading:
    """Return what a clock shows that is due then and was stopped then, rests since then, or still runs.

    An answer at the last moment is in time; a clock that still runs at that moment is not."""
    runs = stopped_at is None and paused_at is None
    left = due_at - (stopped_at or paused_at or now)
    if left < timedelta() or (runs and not left):
        return Reading(Clock.BREACHED, due_at, -left, is_close=runs)
    state = Clock.RUNNING if runs else Clock.PAUSED if stopped_at is None else Clock.MET
    return Reading(state, due_at, left, is_close=runs and left <= WARN_BEFORE)
