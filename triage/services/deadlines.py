"""Clocks of promises: started, paused, resumed, stopped, and their marks written once each.

Complaints and incidents alike. A step that stops or rests a clock first writes what was passed before it, under the
row's lock: no breach is lost because no tick came between."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from detection import clock
from detection.clock import Change, Face, Terms
from models_registry.models import Customer
from triage.models import Deadline, DeadlineChange, DeadlineNotice, Promise, Severity
from triage.services import announcements

log = structlog.get_logger(__name__)


def terms_for(customer: Customer, severity: str = Severity.NORMAL) -> Terms:
    """Return what is promised to a customer: his newest contract, else the house's 24 hours."""
    agreed = Promise.objects.filter(customer=customer, severity=severity).order_by("-id").first()
    return Terms.within(agreed.hours) if agreed else Terms()


@transaction.atomic
def promise(customer: Customer, severity: str, hours: float | None, by: User) -> Promise:
    """Agree on another deadline for what comes from now on."""
    made = Promise.objects.create(customer=customer, severity=severity, hours=hours, by=by)
    audit.record(by, "customer.promise", customer.name, severity=severity, hours=hours)
    return made


@transaction.atomic
def start(at: datetime, terms: Terms, severity: str = Severity.NORMAL) -> Deadline:
    """Start a clock that has been running since then."""
    face = clock.start(at, terms)
    made = Deadline.objects.create(
        started_at=at,
        terms=terms.to_dict(),
        severity=severity,
        promised_at=face.due_at,
        due_at=face.due_at,
        next_mark_at=_next(face, terms, set()),
    )
    DeadlineChange.objects.create(deadline=made, kind=Change.STARTED, at=at, due_at=face.due_at)
    return made


def pause(deadline: Deadline, at: datetime | None = None, reason: str = "") -> Deadline:
    """Let a clock rest: somebody outside is asked."""
    return _change(deadline, Change.PAUSED, at, reason)


def resume(deadline: Deadline, at: datetime | None = None, reason: str = "") -> Deadline:
    """Let a clock run on: its deadline has moved by the rest."""
    return _change(deadline, Change.RESUMED, at, reason)


def stop(deadline: Deadline, at: datetime | None = None, reason: str = "") -> Deadline:
    """Stop a clock for good; stopping it again changes nothing."""
    return _change(deadline, Change.STOPPED, at, reason)


_VERBS = {Change.PAUSED: clock.pause, Change.RESUMED: clock.resume, Change.STOPPED: clock.stop}


@transaction.atomic
def _change(deadline: Deadline, kind: Change, at: datetime | None, reason: str) -> Deadline:
    at = at or timezone.now()
    held = Deadline.objects.select_for_update().get(pk=deadline.pk)
    face = _VERBS[kind](held.face, at)
    if face == held.face:
        return held
    _note(held, at, holds=True)
    DeadlineChange.objects.create(deadline=held, kind=kind, at=at, due_at=face.due_at, reason=reason[:255])
    _show(held, face)
    for name in ("due_at", "paused_at", "stopped_at", "next_mark_at"):  # what the caller holds tells the truth too
        setattr(deadline, name, getattr(held, name))
    return held


def watch(now: datetime | None = None) -> int:
    """Note what running clocks have passed since somebody looked; return how many notices were written."""
    now = now or timezone.now()
    passed = Deadline.objects.filter(next_mark_at__lte=now).order_by("next_mark_at")
    return sum(_watch(pk, now) for pk in passed.values_list("pk", flat=True))


@transaction.atomic
def _watch(pk: int, now: datetime) -> int:
    held = Deadline.objects.select_for_update().get(pk=pk)
    written = _note(held, now)
    _show(held, held.face)
    return written


def _show(held: Deadline, face: Face) -> None:
    """Write where a clock stands, and when it needs to be looked at next."""
    held.due_at, held.paused_at, held.stopped_at = face.due_at, face.paused_at, face.stopped_at
    held.next_mark_at = _next(face, held.promised, _written(held))
    held.save(update_fields=["due_at", "paused_at", "stopped_at", "next_mark_at"])


def _next(face: Face, terms: Terms, written: set[tuple[str, int]]) -> datetime | None:
    if not face.runs:
        return None
    waiting = (mark.at for mark in clock.marks(face.due_at, terms) if (mark.kind, mark.level) not in written)
    return min(waiting, default=None)


def _written(held: Deadline) -> set[tuple[str, int]]:
    return set(DeadlineNotice.objects.filter(deadline=held).values_list("kind", "level"))


def _note(held: Deadline, now: datetime, *, holds: bool = False) -> int:
    """Write the notices of the marks a running clock has passed; its row is locked.

    A clock that is held at the very moment of a mark has not passed it."""
    if not held.face.runs:
        return 0
    written = _written(held)
    passed = [
        mark
        for mark in clock.marks(held.due_at, held.promised)
        if (mark.kind, mark.level) not in written and (mark.at < now or (mark.at == now and not holds))
    ]
    for mark in passed:
        assert held.due_at is not None
        notice = DeadlineNotice.objects.create(
            deadline=held, kind=mark.kind, level=mark.level, due_at=held.due_at, passed_at=mark.at, at=now
        )
        log.warning(f"deadline.{mark.kind}", deadline=held.pk, level=mark.level, due=held.due_at.isoformat())
        announcements.of_notice(held, notice)
    return len(passed)


def nearest_first(found: Any, prefix: str = "deadline__") -> Any:
    """Order what has a clock: running ones, then resting, then stopped ones, each by its deadline."""
    return found.order_by(
        F(f"{prefix}stopped_at").asc(nulls_first=True),
        F(f"{prefix}paused_at").asc(nulls_first=True),
        F(f"{prefix}due_at").asc(nulls_last=True),
        "id",
    )
