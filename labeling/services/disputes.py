"""Disputes: whoever doubts a row of the reference set puts it before a senior who has no part in it."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts import paging
from accounts.models import User
from accounts.roles import Role
from accounts.services import audit
from labeling.models import (
    Answer,
    Dispute,
    DisputeDecision,
    DisputeOrigin,
    DisputeReason,
    ReferenceProposal,
    ReferenceRow,
    RetireReason,
)
from labeling.services import reference_changes
from labeling.services.reference_changes import DOUBTERS, ChangeRefused, is_labeller, locked, written
from models_registry.models import Detector, GateReport

Outcome = DisputeDecision.Outcome
PAGE = 50


@transaction.atomic
def dispute(
    row: ReferenceRow,
    by: User,
    *,
    reason: str,
    note: str,
    answer: str = "",
    origin: str = DisputeOrigin.ENTRY,
    gate_report: GateReport | None = None,
) -> Dispute:
    """Put a row before a senior; where a dispute about it waits already, that one is returned. Raises ChangeRefused.

    `answer` is what the row should say, where somebody knows. The row gates until the dispute is decided."""
    if not by.has_role(*DOUBTERS):
        raise ChangeRefused(_("Rows are disputed by experts and engineers."))
    row = locked(row)
    if reason not in DisputeReason.values or origin not in DisputeOrigin.values:
        raise ChangeRefused(_("Say what is wrong with the row."))
    if answer not in ("", Answer.POSITIVE, Answer.NEGATIVE) or answer == row.answer:
        raise ChangeRefused(_("The row says that already: name the answer that it should have, or none."))
    note = written(note)
    if waiting := Dispute.objects.waiting().filter(row=row).first():
        return waiting
    made = Dispute.objects.create(
        row=row, reason=reason, answer=answer, note=note, origin=origin, gate_report=gate_report, by=by, role=by.role
    )
    audit.record(by, "reference.disputed", row.detector.name, row=row.pk, dispute=made.pk, reason=reason)
    return made


def refusal(found: Dispute, by: User) -> str:
    """Return why this user may not decide a dispute; empty when he may."""
    if not by.has_role(Role.SENIOR):
        return _("Disputes are decided by a senior expert.")
    if by.pk == found.by_id:
        return _("Nobody decides his own dispute.")
    if is_labeller(found.row, by):
        return _("Who gave an answer behind this row does not judge it.")
    return ""


@transaction.atomic
def uphold(found: Dispute, by: User, note: str) -> DisputeDecision:
    """Say that the row stands. Raises ChangeRefused."""
    row = _open(found, by)
    decision = _decide(found, by, Outcome.UPHELD, note)
    if row.recheck_since is not None:
        reference_changes.confirm(row, by, note)
    return decision


@transaction.atomic
def retire(
    found: Dispute,
    by: User,
    note: str,
    *,
    reason: str = RetireReason.MISLABELLED,
    duplicate_of: ReferenceRow | None = None,
) -> DisputeDecision:
    """Say that the row is to be retired: an engineer is the second person. Raises ChangeRefused."""
    row = _open(found, by)
    proposal = reference_changes.propose_retirement(row, by, reason=reason, note=note, duplicate_of=duplicate_of)
    return _decide(found, by, Outcome.RETIRE, note, proposal)


@transaction.atomic
def correct(found: Dispute, by: User, note: str) -> DisputeDecision:
    """Say that the opposite answer is right: another senior is the second person. Raises ChangeRefused."""
    row = _open(found, by)
    proposal = reference_changes.propose_correction(row, by, note=note)
    return _decide(found, by, Outcome.CORRECT, note, proposal)


@transaction.atomic
def spend(found: Dispute, by: User, note: str, report: GateReport) -> DisputeDecision:
    """Say that the answer is right, and let versions learn from it: a hold-out row becomes regression.

    Raises ChangeRefused."""
    row = _open(found, by)
    reference_changes.spend(row, by, report, note)
    return _decide(found, by, Outcome.SPENT, note)


def _open(found: Dispute, by: User) -> ReferenceRow:
    row = locked(found.row)
    if told := refusal(found, by):
        raise ChangeRefused(told)
    if decision := DisputeDecision.objects.filter(dispute=found).select_related("by").first():
        raise ChangeRefused(
            _("%(by)s has decided already: %(what)s.") % {"by": decision.by, "what": decision.get_outcome_display()}
        )
    return row


def _decide(
    found: Dispute, by: User, outcome: DisputeDecision.Outcome, note: str, proposal: ReferenceProposal | None = None
) -> DisputeDecision:
    decision = DisputeDecision.objects.create(
        dispute=found, outcome=outcome, note=written(note), proposal=proposal, by=by, role=by.role
    )
    audit.record(by, "reference.dispute-decided", found.row.detector.name, dispute=found.pk, outcome=outcome.value)
    return decision


# lists


@dataclass(frozen=True, slots=True)
class Page:
    """One page of disputes, newest first, and the key that starts the next one."""

    disputes: list[Dispute]
    before: str


def page(detector: Detector | None = None, *, waiting: bool = False, before: str = "") -> Page:
    """Return disputes that were made before a key; those that wait for a senior, or all."""
    found: QuerySet[Dispute] = Dispute.objects.waiting() if waiting else Dispute.objects.all()
    if detector is not None:
        found = found.filter(row__detector=detector)
    related = found.select_related("row__detector", "by", "decision__by", "decision__proposal__decision")
    return Page(*paging.page(related.order_by("-pk"), before, PAGE))


def of_row(row: ReferenceRow) -> list[Dispute]:
    """Return all disputes about a row, newest first."""
    found = Dispute.objects.filter(row=row).select_related("row", "by", "decision__by", "decision__proposal__decision")
    return list(found.order_by("-pk"))
