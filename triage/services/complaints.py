"""Complaints from the expert's answer to the customer's: collected, followed to a publication, told."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from detection.texts import storable
from labeling.services import complaints as items
from labeling.services import retrains
from models_registry.models import Detector
from triage.models import Complaint, ComplaintState, Message, State
from triage.services import cases, states
from triage.services.states import ComplaintRefused

WAITS_FOR_FIX = (State.CONFIRMED, State.FIX_IN_CANDIDATE, State.FIXED_IN_BUNDLE)


def collect() -> int:
    """Take the experts' answers: confirm or reject. A confirmed one enters the reference set and asks for a candidate.

    Returns how many were taken. Running twice, or in two processes, changes nothing."""
    taken = sum(_collect(item) for item in items.answered())
    retrains.start_asked()
    return taken


@transaction.atomic
def _collect(complaint_item: Any) -> bool:
    """Take the answer to one item: it is the answer to every complaint of its case that waits."""
    said = items.take(complaint_item)
    if said is None:
        return False
    waiting = cases.of_item(complaint_item.item)
    for complaint in waiting:
        _decide(complaint, said)
    if said.confirms and waiting:
        items.admit(complaint_item.item)
        names = ", ".join(f"{one.number} of {one.customer}" for one in waiting)
        detector = waiting[0].detector
        assert detector is not None
        retrains.ask(detector, _asked(names, len(waiting)))
    return True


def _asked(names: str, count: int) -> str:
    return f"{names} {'is' if count == 1 else 'are'} confirmed"


def _decide(complaint: Complaint, said: items.Said) -> None:
    if said.confirms:
        states.enter(complaint, State.CONFIRMED, by=said.label.expert, reason=said.reason)
    elif said.rejects:
        why = said.reason or _("no reason was written")
        states.enter(complaint, State.REJECTED, by=said.label.expert, reason=why)
    else:
        why = said.reason or _("cannot tell")
        states.enter(complaint, State.NEEDS_INFORMATION, by=said.label.expert, reason=why)
        Message.objects.create(complaint=complaint, to_customer=True, text=why, by=said.label.expert)


def follow() -> int:
    """Look for the candidate, the bundle and the publication that fix each confirmed complaint; count the steps.

    Where nothing came since somebody looked, nobody looks again."""
    waiting = Complaint.objects.unanswered().filter(state__in=WAITS_FOR_FIX)
    steps = 0
    for detector in Detector.objects.filter(pk__in=waiting.values("detector")):
        seen = cases.newest(detector)  # before anything is read: what comes meanwhile is looked at by the next tick
        found = waiting.filter(detector=detector).exclude(followed=seen)
        for one in found.select_related("detector", "bundle", "customer", "case"):
            steps += cases.follow(one)
            Complaint.objects.filter(pk=one.pk).update(followed=seen)
    return steps


@transaction.atomic
def reject(complaint: Complaint, reason: str, by: User) -> ComplaintState:
    """End the waiting for a customer who never answered: a rejection with its reason. Raises ComplaintRefused."""
    if states.state_of(complaint) is not State.NEEDS_INFORMATION:
        raise ComplaintRefused(_("%(number)s is for an expert to decide.") % {"number": complaint.number})
    why = states.words(reason, _("A rejection needs its reason."))
    entered = states.enter(complaint, State.REJECTED, by=by, reason=why)
    audit.record(by, "complaint.rejected", complaint.number)
    return entered


@transaction.atomic
def tell(complaint: Complaint, answer: str, by: User) -> ComplaintState:
    """Send the customer his answer: the only way to close a complaint. Raises ComplaintRefused."""
    words = states.words(answer, _("Nothing closes without an answer."))
    Message.objects.create(complaint=complaint, to_customer=True, template="", text=storable(words), by=by)
    entered = states.enter(complaint, State.TOLD, by=by, reason=_("answered"))
    audit.record(by, "complaint.told", complaint.number)
    return entered
