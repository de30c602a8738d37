"""What state may follow what. The only code that moves a complaint; nothing closes without an answer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from detection.texts import storable
from models_registry.services import holds
from triage.models import Complaint, ComplaintState, State
from triage.services import announcements, deadlines

# state → states that may follow; told ends it
NEXT: dict[State, tuple[State, ...]] = {
    State.RECEIVED: (State.REPRODUCED, State.CONFIRMED, State.REJECTED, State.NEEDS_INFORMATION),
    State.REPRODUCED: (State.CONFIRMED, State.REJECTED, State.NEEDS_INFORMATION),
    State.NEEDS_INFORMATION: (State.RECEIVED, State.REJECTED),  # who never answers is told so, with a reason
    State.CONFIRMED: (State.FIX_IN_CANDIDATE, State.FIXED_IN_BUNDLE),
    State.FIX_IN_CANDIDATE: (State.FIXED_IN_BUNDLE,),
    State.FIXED_IN_BUNDLE: (State.PUBLISHED,),
    State.PUBLISHED: (State.TOLD,),
    State.REJECTED: (State.TOLD,),
    State.TOLD: (),
}
LONGEST_TEXT = 10_000


class ComplaintRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Nothing was written; the message says why, for the person who asked."""


@transaction.atomic
def enter(complaint: Complaint, new: State, *, at: datetime | None = None, **facts: Any) -> ComplaintState:
    """Write a step if the state allows it, and what it does to clock and holds; whoever comes second is refused.

    `at`: when it became true, where that is not now."""
    held = Complaint.objects.select_for_update().select_related("deadline", "customer").get(pk=complaint.pk)
    now = state_of(held)
    if (now is None and new is not State.RECEIVED) or (now is not None and new not in NEXT[now]):
        raise ComplaintRefused(
            _("%(number)s is %(now)s: it cannot become %(new)s.")
            % {"number": held.number, "now": now.label if now else "–", "new": new.label}
        )
    moment = at or timezone.now()
    if new in (State.PUBLISHED, State.TOLD):
        deadlines.stop(held.deadline, moment, new.value)
    elif new is State.NEEDS_INFORMATION:
        deadlines.pause(held.deadline, moment, str(facts.get("reason", "")))
    elif now is State.NEEDS_INFORMATION:
        deadlines.resume(held.deadline, moment)
        facts["due_at"] = held.deadline.due_at
    try:
        with transaction.atomic():
            step = ComplaintState.objects.create(complaint=held, state=new, at=moment, **facts)
    except IntegrityError:
        raise ComplaintRefused(
            _("%(number)s is %(new)s already.") % {"number": held.number, "new": new.label}
        ) from None
    head = {"state": new} | ({"told_at": moment} if new is State.TOLD else {})
    Complaint.objects.filter(pk=held.pk).update(**head)
    for name, value in head.items():
        setattr(complaint, name, value)
    complaint.deadline = held.deadline
    if new in (State.REJECTED, State.TOLD):
        holds.lift(held.number)
    announcements.of_step(held, step)
    return step


def state_of(complaint: Complaint) -> State | None:
    """Return the state a complaint is in, None before the first."""
    newest = ComplaintState.objects.filter(complaint=complaint).order_by("-id").first()
    return State(newest.state) if newest else None


def words(text: str, otherwise: str) -> str:
    """Return what somebody wrote; without words ComplaintRefused says what they are for."""
    if not (found := storable(text.strip(), LONGEST_TEXT)):
        raise ComplaintRefused(otherwise)
    return found
