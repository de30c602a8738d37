"""Spending, retiring and correcting rows of the reference set. A true label is never retired because a model fails it.

Retiring is as strong as a release: an engineer and a senior expert agree, different accounts. A correction is two
senior experts who both say the right answer, and neither of whom gave the wrong one."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import EXPERTS, Role
from accounts.services import audit
from detection.texts import storable
from labeling.models import (
    Answer,
    Label,
    ReferenceDecision,
    ReferenceEvent,
    ReferenceProposal,
    ReferenceRow,
    RetireReason,
)
from labeling.models import Role as RowRole
from labeling.services import labels, reference, reference_events
from models_registry.models import Detector, GateReport
from models_registry.services import two_people

DECIDERS = tuple(two_people.PARTNER)
DOUBTERS = (*EXPERTS, Role.ENGINEER)
LONGEST_NOTE = 4_000
Kind = ReferenceProposal.Kind
Outcome = ReferenceDecision.Outcome


class ChangeRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Nothing was changed; the message says why, for the person who asked."""


# retiring and correcting: two people


@transaction.atomic
def propose_retirement(
    row: ReferenceRow, by: User, *, reason: str, note: str, duplicate_of: ReferenceRow | None = None
) -> ReferenceProposal:
    """Ask the second person to retire a row; an equal proposal that waits is returned. Raises ChangeRefused."""
    _need(by, DECIDERS, _("Rows are retired by an engineer and a senior expert."))
    row = locked(row)
    if reason not in RetireReason.values:
        raise ChangeRefused(_("Say what is wrong with the label. That a model fails the row is no reason."))
    if reason == RetireReason.DUPLICATE:
        _check_duplicate(row, duplicate_of)
    elif duplicate_of is not None:
        raise ChangeRefused(_("Only a duplicate has another row that says the same."))
    return _propose(row, by, Kind.RETIRE, reason=reason, note=note, duplicate_of=duplicate_of)


@transaction.atomic
def propose_correction(row: ReferenceRow, by: User, *, note: str) -> ReferenceProposal:
    """Ask a second senior to say the opposite answer as well. Raises ChangeRefused."""
    row = locked(row)
    _refuse_corrector(row, by)
    right = Answer.NEGATIVE if row.answer == Answer.POSITIVE else Answer.POSITIVE
    return _propose(row, by, Kind.CORRECT, reason=RetireReason.MISLABELLED, note=note, answer=right)


def _propose(row: ReferenceRow, by: User, kind: ReferenceProposal.Kind, **fields: Any) -> ReferenceProposal:
    fields["note"] = written(fields["note"])
    waiting = ReferenceProposal.objects.waiting().filter(row=row).select_related("by").first()
    if waiting is not None:
        if waiting.kind == kind and waiting.by_id == by.pk:
            return waiting
        raise ChangeRefused(
            _("%(by)s has proposed something for this row already: decide that first.") % {"by": waiting.by}
        )
    proposal = ReferenceProposal.objects.create(row=row, kind=kind, by=by, role=by.role, **fields)
    audit.record(by, "reference.proposed", row.detector.name, row=row.pk, proposal=proposal.pk, kind=kind.value)
    return proposal


def may_approve(proposal: ReferenceProposal, user: User) -> bool:
    """Say whether this user is the second person that a proposal waits for."""
    return not _refusal(proposal, user)


@transaction.atomic
def approve(proposal: ReferenceProposal, by: User, note: str = "") -> ReferenceEvent:
    """Agree as the second person, and do it; a proposal that is approved already changes nothing.

    Raises ChangeRefused."""
    row = locked(proposal.row, retired_too=True)
    decision = ReferenceDecision.objects.filter(proposal=proposal).select_related("by").first()
    if decision is not None:
        if decision.outcome == Outcome.APPROVED:
            return ReferenceEvent.objects.get(proposal=proposal)
        raise ChangeRefused(_("The proposal was declined by %(by)s.") % {"by": decision.by})
    if row.is_retired:
        raise ChangeRefused(_("The row is retired already."))
    if told := _refusal(proposal, by):
        raise ChangeRefused(told)
    ReferenceDecision.objects.create(proposal=proposal, outcome=Outcome.APPROVED, note=_text(note), by=by, role=by.role)
    details = _details(proposal)
    _retire(row)
    if proposal.kind == Kind.RETIRE:
        return reference_events.record(
            row.detector, ReferenceEvent.Kind.RETIRED, by, row=row, proposal=proposal, **details
        )
    successor = _correct(row, proposal, by, note)
    details |= {"answer": [row.answer, proposal.answer], "successor": successor.pk if successor else None}
    return reference_events.record(
        row.detector, ReferenceEvent.Kind.CORRECTED, by, row=row, proposal=proposal, **details
    )


@transaction.atomic
def decline(proposal: ReferenceProposal, by: User, note: str) -> ReferenceDecision:
    """Say no, or take one's own proposal back; the reason is kept. Raises ChangeRefused."""
    locked(proposal.row, retired_too=True)
    if (decision := ReferenceDecision.objects.filter(proposal=proposal).select_related("by").first()) is not None:
        raise ChangeRefused(
            _("%(by)s has decided already: %(what)s.") % {"by": decision.by, "what": decision.get_outcome_display()}
        )
    if by.pk != proposal.by_id and (told := _refusal(proposal, by)):
        raise ChangeRefused(told)
    decision = ReferenceDecision.objects.create(
        proposal=proposal, outcome=Outcome.DECLINED, note=written(note), by=by, role=by.role
    )
    audit.record(by, "reference.declined", proposal.row.detector.name, row=proposal.row_id, proposal=proposal.pk)
    return decision


def _refusal(proposal: ReferenceProposal, by: User) -> str:
    """Return why this user is not the second person; empty when he is."""
    if proposal.kind == Kind.RETIRE:
        if not by.has_role(*DECIDERS):
            return _("Rows are retired by an engineer and a senior expert.")
        return two_people.refusal(proposal, by)
    if by.pk == proposal.by_id:
        return _("Nobody approves his own proposal.")
    try:
        _refuse_corrector(proposal.row, by)
    except ChangeRefused as refused:
        return str(refused)
    return ""


def _refuse_corrector(row: ReferenceRow, by: User) -> None:
    _need(by, (Role.SENIOR,), _("An answer is corrected by two senior experts."))
    if row.item is None:
        raise ChangeRefused(_("An imported row has no item to answer: retire it, and import the right answer."))
    if is_labeller(row, by):
        raise ChangeRefused(_("Who gave an answer behind this row does not judge it."))


def is_labeller(row: ReferenceRow, user: User) -> bool:
    """Say whether one of the answers behind a row is this user's, or was."""
    given = Label.objects.filter(expert=user)
    return given.filter(Q(reference_rows=row) | Q(item=row.item_id, item__isnull=False)).exists()


def _check_duplicate(row: ReferenceRow, other: ReferenceRow | None) -> None:
    if other is None or other.pk == row.pk or other.detector_id != row.detector_id or other.is_retired:
        raise ChangeRefused(_("Name the other row of this detector, in force, that says the same."))
    if other.answer != row.answer:
        raise ChangeRefused(_("The other row says the opposite: that is a dispute, not a duplicate."))


def _correct(row: ReferenceRow, proposal: ReferenceProposal, by: User, note: str) -> ReferenceRow | None:
    """Write both answers, and let what they agree on take the row's place."""
    assert row.item is not None  # _refuse_corrector
    labels.correct(row.item, proposal.answer, [(proposal.by, proposal.note), (by, _text(note))])
    reference.admit(row.item)
    return ReferenceRow.objects.in_force().filter(item=row.item, answer=proposal.answer).first()


def _retire(row: ReferenceRow) -> None:
    ReferenceRow.objects.filter(pk=row.pk).update(retired_at=timezone.now(), recheck_since=None)


def _details(proposal: ReferenceProposal) -> dict[str, Any]:
    return {
        "reason": proposal.reason,
        "note": proposal.note,
        "proposed_by": proposal.by.username,
        "proposed_as": proposal.role,
        "duplicate_of": proposal.duplicate_of_id,
    }


# spending: a senior, and the gate report that shows the failure


@transaction.atomic
def spend(row: ReferenceRow, by: User, report: GateReport, note: str) -> ReferenceEvent:
    """Move a hold-out row that a version failed to regression: it may be learnt from, and proves nothing any more.

    Raises ChangeRefused."""
    _need(by, (Role.SENIOR,), _("A hold-out row is spent by a senior expert."))
    row = locked(row)
    if row.role != RowRole.HOLDOUT:
        raise ChangeRefused(
            _("Only hold-out rows can be spent; this one is %(role)s.") % {"role": row.get_role_display()}
        )
    if not failed_in(report, row):
        raise ChangeRefused(_("That gate report does not list this row: a row is spent only when a version failed it."))
    ReferenceRow.objects.filter(pk=row.pk).update(role=RowRole.REGRESSION)
    return reference_events.record(
        row.detector,
        ReferenceEvent.Kind.SPENT,
        by,
        row=row,
        role=[RowRole.HOLDOUT.value, RowRole.REGRESSION.value],
        note=written(note),
        gate_report=report.pk,
        version=str(report.version),
    )


def failed_in(report: GateReport, row: ReferenceRow) -> bool:
    """Say whether a gate report lists a row as wrong or lost."""
    if report.version.detector_id != row.detector_id:
        return False
    listed = (case for check in report.report.get("checks", []) if not check["passed"] for case in check["rows"])
    return any(case["key"] == row.subject_key and case["answer"] == row.answer for case in listed)


# checking again: a mark that takes nothing away


@transaction.atomic
def flag(row: ReferenceRow, by: User | None, note: str) -> ReferenceEvent | None:
    """Mark a row to be checked again; None when it is marked already. It gates all the same. Raises ChangeRefused."""
    if by is not None:
        _need(by, DOUBTERS, _("Rows are marked by experts and engineers."))
    row = locked(row)
    if row.recheck_since is not None:
        return None
    ReferenceRow.objects.filter(pk=row.pk).update(recheck_since=timezone.now())
    return reference_events.record(row.detector, ReferenceEvent.Kind.FLAGGED, by, row=row, note=written(note))


@transaction.atomic
def confirm(row: ReferenceRow, by: User, note: str) -> ReferenceEvent:
    """Say after a second look that a marked row stands. Raises ChangeRefused."""
    _need(by, (Role.SENIOR,), _("A marked row is looked at by a senior expert."))
    row = locked(row)
    if row.recheck_since is None:
        raise ChangeRefused(_("The row is not marked to be checked again."))
    if is_labeller(row, by):
        raise ChangeRefused(_("Who gave an answer behind this row does not judge it."))
    ReferenceRow.objects.filter(pk=row.pk).update(recheck_since=None)
    return reference_events.record(row.detector, ReferenceEvent.Kind.CONFIRMED, by, row=row, note=written(note))


# what all of them need


def locked(row: ReferenceRow, *, retired_too: bool = False) -> ReferenceRow:
    """Return the row as it is now, with its detector locked: events of one set follow each other.

    Raises ChangeRefused when it is retired."""
    Detector.objects.select_for_update().get(pk=row.detector_id)
    now = ReferenceRow.objects.select_related("detector", "item").get(pk=row.pk)
    if now.is_retired and not retired_too:
        raise ChangeRefused(_("The row is retired already."))
    return now


def written(note: str) -> str:
    """Return a note that says something. Raises ChangeRefused."""
    if not (note := _text(note)):
        raise ChangeRefused(_("Write why: whoever decides or looks back reads it."))
    return note


def _text(note: str) -> str:
    return storable(note).strip()[:LONGEST_NOTE]


def _need(by: User, roles: tuple[Role, ...], told: str) -> None:
    if not by.has_role(*roles):
        raise ChangeRefused(told)
