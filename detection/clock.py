"""The clock of a promise: runs from receipt, rests while somebody outside is asked, stops with the answer.

One mechanism for complaints and incidents. A deadline is a moment in UTC that is stored and compared, never counted
down: nights, restarts and ticks that did not come cost nothing. A rest moves it by as long as the rest took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

DEADLINE = timedelta(hours=24)
WARN_BEFORE = timedelta(hours=4)
ESCALATE_AFTER = (timedelta(hours=1), timedelta(hours=4))  # after the deadline: level 1, level 2


class Clock(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    MET = "met"
    BREACHED = "breached"
    NONE = "none"  # nothing was promised: never late, never met


class Mark(StrEnum):
    WARNING = "warning"
    BREACH = "breach"
    ESCALATION = "escalation"


@dataclass(frozen=True, slots=True)
class Terms:
    """What was promised. Stored with the clock it governs: a later contract changes no running promise."""

    promise: timedelta | None = DEADLINE  # None: no promise
    warn_before: timedelta = WARN_BEFORE
    escalate_after: tuple[timedelta, ...] = ESCALATE_AFTER

    def __post_init__(self) -> None:
        if self.promise is not None and self.promise <= timedelta():
            raise ValueError("a promise takes some time, or there is none")
        if self.warn_before < timedelta() or any(after < timedelta() for after in self.escalate_after):
            raise ValueError("a warning comes before the deadline, an escalation after it")

    @classmethod
    def within(cls, hours: float | None) -> Terms:
        """Return the terms of a promise in hours, warned of when a sixth of it is left; None: no promise."""
        return cls(None) if hours is None else cls(timedelta(hours=hours), timedelta(hours=hours) / 6)

    def to_dict(self) -> dict[str, Any]:
        """Return the terms in seconds, as JSON takes them."""
        return {
            "promise": None if self.promise is None else self.promise.total_seconds(),
            "warn_before": self.warn_before.total_seconds(),
            "escalate_after": [after.total_seconds() for after in self.escalate_after],
        }

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Terms:
        promise = told["promise"]
        return cls(
            None if promise is None else timedelta(seconds=promise),
            timedelta(seconds=told["warn_before"]),
            tuple(timedelta(seconds=after) for after in told["escalate_after"]),
        )


@dataclass(frozen=True, slots=True)
class Face:
    """Where a clock stands. What happens to it gives a new one."""

    due_at: datetime | None
    paused_at: datetime | None = None
    stopped_at: datetime | None = None

    @property
    def runs(self) -> bool:
        return self.paused_at is None and self.stopped_at is None


class Change(StrEnum):
    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    STOPPED = "stopped"


def start(at: datetime, terms: Terms) -> Face:
    """Return a clock that runs from then."""
    return Face(None if terms.promise is None else at + terms.promise)


def pause(face: Face, at: datetime) -> Face:
    """Return the clock at rest; a resting or stopped one stays as it is."""
    return replace(face, paused_at=at) if face.runs else face


def resume(face: Face, at: datetime) -> Face:
    """Return the clock running again: what was left when the rest began is left when it ends."""
    if face.paused_at is None or face.stopped_at is not None:
        return face
    return Face(None if face.due_at is None else resumed(face.due_at, face.paused_at, at))


def stop(face: Face, at: datetime) -> Face:
    """Return the clock stopped, for good: the first answer counts. A rest ends with it."""
    return face if face.stopped_at is not None else replace(resume(face, at), stopped_at=at)


_VERBS = {Change.PAUSED: pause, Change.RESUMED: resume, Change.STOPPED: stop}


def replay(changes: Iterable[tuple[Change, datetime]], terms: Terms) -> Face:
    """Return where a clock stands after its history, which begins with STARTED."""
    told = iter(changes)
    kind, at = next(told)
    if kind is not Change.STARTED:
        raise ValueError("a clock's history begins with its start")
    face = start(at, terms)
    for kind, at in told:
        face = _VERBS[kind](face, at)
    return face


# --- what it shows -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """What a clock shows."""

    state: Clock
    due_at: datetime | None
    left: timedelta  # until the deadline, over it when breached; never negative
    is_close: bool  # runs, and needs somebody now

    @property
    def hours_and_minutes(self) -> tuple[int, int]:
        """What is left, or over; minutes begun are not counted."""
        hours, minutes = divmod(int(self.left.total_seconds()) // 60, 60)
        return hours, minutes


def due(received_at: datetime) -> datetime:
    """Return the deadline of what was received then, when nothing else was agreed."""
    return received_at + DEADLINE


def resumed(due_at: datetime, paused_at: datetime, at: datetime) -> datetime:
    """Return the deadline after a rest."""
    return due_at + max(at - paused_at, timedelta())


def reading(
    due_at: datetime | None,
    stopped_at: datetime | None,
    now: datetime,
    *,
    paused_at: datetime | None = None,
    warn_before: timedelta = WARN_BEFORE,
) -> Reading:
    """Return what a clock shows that is due then and was stopped then, rests since then, or still runs.

    An answer at the last moment is in time; a clock that still runs at that moment is not."""
    if due_at is None:
        return Reading(Clock.NONE, None, timedelta(), is_close=False)
    runs = stopped_at is None and paused_at is None
    left = due_at - (stopped_at or paused_at or now)
    if left < timedelta() or (runs and not left):
        return Reading(Clock.BREACHED, due_at, -left, is_close=runs)
    state = Clock.RUNNING if runs else Clock.PAUSED if stopped_at is None else Clock.MET
    return Reading(state, due_at, left, is_close=runs and left <= warn_before)


# --- what it tells -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passed:
    """A mark on the way of a running clock."""

    kind: Mark
    level: int  # of an escalation, from 1; else 0
    at: datetime


def marks(due_at: datetime | None, terms: Terms) -> tuple[Passed, ...]:
    """Return the marks that a clock with this deadline passes, in their order."""
    if due_at is None:
        return ()
    return (
        Passed(Mark.WARNING, 0, due_at - terms.warn_before),
        Passed(Mark.BREACH, 0, due_at),
        *(
            Passed(Mark.ESCALATION, level, due_at + after)
            for level, after in enumerate(sorted(terms.escalate_after), start=1)
        ),
    )
