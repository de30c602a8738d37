"""Warnings and breaches as rows: written once each, by the clock, or by the step that stops or rests a clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from triage.models import Complaint, ComplaintNotice, Notice
from triage.services import clock

log = structlog.get_logger(__name__)


def watch(now: datetime | None = None) -> int:
    """Note what running clocks have passed since somebody looked; return how many notices were written."""
    now = now or timezone.now()
    there = ComplaintNotice.objects.filter(complaint=OuterRef("pk"))
    unwarned, unbreached = (~Exists(there.filter(kind=kind)) for kind in (Notice.WARNING, Notice.BREACH))
    passed = Q(unwarned, due_now__lte=now + clock.WARN_BEFORE) | Q(unbreached, due_now__lte=now)
    return sum(_watch(pk, now) for pk in Complaint.objects.running().filter(passed).values_list("pk", flat=True))


@transaction.atomic
def _watch(pk: int, now: datetime) -> int:
    Complaint.objects.select_for_update().get(pk=pk)
    found = Complaint.objects.running().filter(pk=pk).first()  # a step may have stopped it meanwhile
    return note(found, now) if found else 0


def note(complaint: Any, now: datetime, *, holds: bool = False) -> int:
    """Write the notices of the marks a clock has passed, of a complaint read `with_state` whose row is held.

    A clock that is held at the very moment of a mark has not passed it."""
    written = set(ComplaintNotice.objects.filter(complaint=complaint).values_list("kind", flat=True))
    moments = ((Notice.WARNING, clock.warning_at(complaint.due_now)), (Notice.BREACH, complaint.due_now))
    passed = [(kind, at) for kind, at in moments if kind not in written and (at < now or (at == now and not holds))]
    for kind, at in passed:
        ComplaintNotice.objects.create(
            complaint_id=complaint.pk, kind=kind, due_at=complaint.due_now, passed_at=at, at=now
        )
        log.warning(f"complaint.{kind}", complaint=complaint.number, due=complaint.due_now.isoformat())
    return len(passed)


def before_a_step(complaint: Complaint, now: datetime) -> None:
    """Note what a clock has passed before a step stops or rests it: no breach is lost because no tick came between."""
    found = Complaint.objects.running().filter(pk=complaint.pk).first()
    if found is not None:
        note(found, now, holds=True)


def nearest_first(found: Any) -> Any:
    """Order complaints read `with_state`: running clocks, then resting, then stopped ones, each by its deadline."""
    return found.order_by(F("stopped_at").asc(nulls_first=True), F("paused_at").asc(nulls_first=True), "due_now", "id")
