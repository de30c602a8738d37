"""Pages of the reference set: rows, disputes, changes by two people, coverage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import paging
from accounts.models import User
from accounts.rights import person, role_required
from accounts.roles import EXPERTS, READERS, Role
from detection.coverage import AGES
from labeling import evidence
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
from labeling.models import Role as RowRole
from labeling.services import blind, disputes, entries, reference_changes
from labeling.services import coverage as coverage_service
from labeling.services.reference_changes import ChangeRefused
from models_registry.models import Detector, GateReport

# rows


@require_safe
@role_required(*READERS)
def reference(request: HttpRequest, detector: str) -> HttpResponse:
    found = get_object_or_404(Detector, name=detector)
    asked = entries.RowFilter.of(request.GET)
    context = {
        "detector": found,
        "asked": asked,
        "roles": RowRole.choices,
        "states": entries.STATES,
        "page": entries.page(found, asked, request.GET.get("before", "")),
        "proposals": _proposals(request, found),
        "disputes": disputes.page(found, waiting=True).disputes,
    }
    return render(request, "labeling/reference.html", context)


@require_safe
@role_required(*READERS)
def reference_row(request: HttpRequest, pk: int) -> HttpResponse:
    return _row_page(request, _row(pk))


@require_safe
@role_required(*READERS)
def find_reference_row(request: HttpRequest, detector: str) -> HttpResponse:
    """The row that a gate report names by its session; the report goes along, so that a doubt can point to it."""
    found = get_object_or_404(Detector, name=detector)
    row = entries.named(found, request.GET.get("key", "")[:200], request.GET.get("answer", ""))
    if row is None:
        raise Http404
    report = paging.key_of(request.GET.get("report"))
    asked = f"?report={report}" if report else ""
    return redirect(f"{reverse('labeling:reference-row', args=[row.pk])}{asked}")


def _row_page(request: HttpRequest, row: ReferenceRow, problem: str = "", status: int = 200) -> HttpResponse:
    user = person(request)
    known = entries.entry(row)
    report = _report(request)
    in_force = not row.is_retired
    waiting = next((one for one in known.disputes if not hasattr(one, "decision")), None) if in_force else None
    context = {
        "entry": known,
        "row": row,
        "detector": row.detector,
        "evidence": evidence.Evidence(known.shown),
        "blind": row.item is not None and blind.hides_evidence(row.item, user),
        "proposals": [_asked(proposal, user) for proposal in known.proposals if in_force and _is_open(proposal)],
        "waiting": waiting,
        "may_decide": waiting is not None and not disputes.refusal(waiting, user),
        "may_dispute": in_force and waiting is None and user.has_role(*reference_changes.DOUBTERS),
        "may_retire": in_force and user.has_role(*reference_changes.DECIDERS),
        "may_spend": in_force and row.role == RowRole.HOLDOUT and known.failures and user.has_role(Role.SENIOR),
        "may_confirm": row.recheck_since is not None and user.has_role(Role.SENIOR),
        "may_flag": in_force and row.recheck_since is None and user.has_role(*reference_changes.DOUBTERS),
        "report": report,
        "origin": DisputeOrigin.GATE if report else request.GET.get("from", DisputeOrigin.ENTRY.value),
        "dispute_reasons": DisputeReason.choices,
        "retire_reasons": RetireReason.choices,
        "other_answer": Answer.NEGATIVE.value if row.answer == Answer.POSITIVE else Answer.POSITIVE.value,
        "problem": problem,
        "written": request.POST,
    }
    return render(request, "labeling/reference_row.html", context, status=status)


# what people do to a row


@require_POST
@role_required(*EXPERTS, Role.ENGINEER)
def dispute_row(request: HttpRequest, pk: int) -> HttpResponse:
    def verb(row: ReferenceRow) -> str:
        origin = request.POST.get("origin", "")
        disputes.dispute(
            row,
            person(request),
            reason=request.POST.get("reason", ""),
            answer=request.POST.get("answer", ""),
            note=request.POST.get("note", ""),
            origin=origin if origin in DisputeOrigin.values else DisputeOrigin.ENTRY,
            gate_report=_report(request),
        )
        return _("A senior expert who has no part in it decides. The row gates until then.")

    return _do(request, pk, verb)


@require_POST
@role_required(Role.SENIOR, Role.ENGINEER)
def retire_row(request: HttpRequest, pk: int) -> HttpResponse:
    """Propose that a row be retired, or its answer corrected."""

    def verb(row: ReferenceRow) -> str:
        note = request.POST.get("note", "")
        if request.POST.get("reason") == "correct":
            reference_changes.propose_correction(row, person(request), note=note)
            return _("Proposed. Another senior expert says the same, or declines.")
        reference_changes.propose_retirement(
            row,
            person(request),
            reason=request.POST.get("reason", ""),
            note=note,
            duplicate_of=_named(request.POST.get("duplicate_of", "")),
        )
        return _("Proposed. The second person approves or declines.")

    return _do(request, pk, verb)


@require_POST
@role_required(Role.SENIOR)
def spend_row(request: HttpRequest, pk: int) -> HttpResponse:
    def verb(row: ReferenceRow) -> str:
        if (report := _report(request)) is None:
            raise ChangeRefused(_("Name the gate report that shows the failure."))
        reference_changes.spend(row, person(request), report, request.POST.get("note", ""))
        return _("Spent: it is regression now, and may be learnt from.")

    return _do(request, pk, verb)


@require_POST
@role_required(*EXPERTS, Role.ENGINEER)
def flag_row(request: HttpRequest, pk: int) -> HttpResponse:
    def verb(row: ReferenceRow) -> str:
        reference_changes.flag(row, person(request), request.POST.get("note", ""))
        return _("Marked to be checked again. It gates all the same.")

    return _do(request, pk, verb)


@require_POST
@role_required(Role.SENIOR)
def confirm_row(request: HttpRequest, pk: int) -> HttpResponse:
    def verb(row: ReferenceRow) -> str:
        reference_changes.confirm(row, person(request), request.POST.get("note", ""))
        return _("Checked again: the row stands.")

    return _do(request, pk, verb)


@require_POST
@role_required(Role.SENIOR, Role.ENGINEER)
def decide_proposal(request: HttpRequest, pk: int) -> HttpResponse:
    """Approve or decline as the second person, or take one's own proposal back."""
    proposal = get_object_or_404(ReferenceProposal.objects.select_related("row__item", "by"), pk=pk)

    def verb(row: ReferenceRow) -> str:
        note = request.POST.get("note", "")
        if request.POST.get("approve"):
            return _("Done: %(what)s.") % {
                "what": reference_changes.approve(proposal, person(request), note).get_kind_display()
            }
        reference_changes.decline(proposal, person(request), note)
        return _("Declined. The row stands.")

    return _do(request, proposal.row_id, verb)


def _do(request: HttpRequest, pk: int, verb: Callable[[ReferenceRow], str]) -> HttpResponse:
    """Do one thing to a row; a refusal keeps what was written on the page."""
    row = _row(pk)
    try:
        told = verb(row)
    except ChangeRefused as refused:
        return _row_page(request, _row(pk), str(refused), 409)
    messages.success(request, told)
    return redirect("labeling:reference-row", pk)


# disputes


@require_safe
@role_required(*READERS)
def dispute_list(request: HttpRequest) -> HttpResponse:
    waiting = request.GET.get("state", "open") == "open"
    context = {"page": disputes.page(waiting=waiting, before=request.GET.get("before", "")), "waiting": waiting}
    return render(request, "labeling/disputes.html", context)


@require_POST
@role_required(Role.SENIOR)
def decide_dispute(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Dispute.objects.select_related("row", "gate_report"), pk=pk)

    def verb(row: ReferenceRow) -> str:
        user, note, outcome = person(request), request.POST.get("note", ""), request.POST.get("outcome", "")
        if outcome == DisputeDecision.Outcome.UPHELD:
            disputes.uphold(found, user, note)
        elif outcome == DisputeDecision.Outcome.CORRECT:
            disputes.correct(found, user, note)
        elif outcome == DisputeDecision.Outcome.SPENT:
            report = found.gate_report or _report(request)
            if report is None:
                raise ChangeRefused(_("Name the gate report that shows the failure."))
            disputes.spend(found, user, note, report)
        elif outcome in RetireReason.values:
            other = _named(request.POST.get("duplicate_of", ""))
            disputes.retire(found, user, note, reason=outcome, duplicate_of=other)
        else:
            raise ChangeRefused(_("Say what becomes of the row."))
        return _("Decided.")

    return _do(request, found.row_id, verb)


# coverage


@require_safe
@role_required(*READERS)
def coverage(request: HttpRequest, detector: str) -> HttpResponse:
    found = get_object_or_404(Detector, name=detector)
    return render(
        request, "labeling/coverage.html", {"detector": found, "report": coverage_service.report(found), "ages": AGES}
    )


# what several of them need


@dataclass(frozen=True, slots=True)
class Asked:
    """A proposal as one person sees it."""

    proposal: ReferenceProposal
    may_approve: bool
    may_decline: bool


def _proposals(request: HttpRequest, detector: Detector) -> list[Asked]:
    waiting = ReferenceProposal.objects.waiting().filter(row__detector=detector).select_related("by", "row__item")
    return [_asked(proposal, person(request)) for proposal in waiting[:20]]


def _asked(proposal: ReferenceProposal, user: User) -> Asked:
    approves = reference_changes.may_approve(proposal, user)
    return Asked(proposal, approves, approves or proposal.by_id == user.pk)


def _is_open(proposal: ReferenceProposal) -> bool:
    return not hasattr(proposal, "decision")


def _row(pk: int) -> ReferenceRow:
    related = ("detector", "item__queue", "item__record", "item__version__detector", "item__complaint_item")
    return get_object_or_404(ReferenceRow.objects.select_related(*related), pk=pk)


def _report(request: HttpRequest) -> GateReport | None:
    told = paging.key_of(request.POST.get("report") or request.GET.get("report"))
    reports = GateReport.objects.select_related("version__detector", "snapshot")
    return reports.filter(pk=told).first() if told else None


def _named(told: str) -> ReferenceRow | None:
    key = paging.key_of(told.strip().lstrip("#"))
    return ReferenceRow.objects.filter(pk=key).first() if key else None
