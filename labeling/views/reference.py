"""Pages of the reference set: rows, disputes, changes by two people, snapshots, coverage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import paging
from accounts.models import User
from accounts.rights import person, role_required
from accounts.roles import EXPERTS, Role
from detection.coverage import AGES
from labeling import evidence
from labeling.models import (
    Answer,
    Dispute,
    DisputeDecision,
    DisputeOrigin,
    DisputeReason,
    ReferenceImport,
    ReferenceProposal,
    ReferenceRow,
    RetireReason,
)
from labeling.models import Role as RowRole
from labeling.services import blind, disputes, entries, imports, reference_changes, reference_files, snapshot_pages
from labeling.services import coverage as coverage_service
from labeling.services.reference_changes import ChangeRefused
from models_registry.models import Detector, GateReport, Snapshot
from models_registry.services import snapshots as snapshot_files

EXPORTS = {"jsonl": reference_files.lines, "parquet": reference_files.parquet}
LARGEST_IMPORT = 64 << 20  # bytes, through a page
READERS = (*EXPERTS, Role.ENGINEER, Role.ADMINISTRATOR, Role.AUDITOR)


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


# snapshots


@require_safe
@role_required(*READERS)
def snapshots(request: HttpRequest, detector: str) -> HttpResponse:
    found = get_object_or_404(Detector, name=detector)
    context = {"detector": found, "page": snapshot_pages.page(found, request.GET.get("before", ""))}
    return render(request, "labeling/snapshots.html", context)


@require_safe
@role_required(*READERS)
def compare_snapshots(request: HttpRequest, detector: str) -> HttpResponse:
    """What changed between two snapshots, named by their numbers in `old` and `new`."""
    found = get_object_or_404(Detector, name=detector)
    old, new = (_snapshot(found, request.GET.get(name, "")) for name in ("old", "new"))
    kind = request.GET.get("kind", "")
    context = {
        "detector": found,
        "old": old,
        "new": new,
        "kind": kind,
        "page": snapshot_pages.between(old, new, kind, request.GET.get("after", "")),
    }
    return render(request, "labeling/compare_snapshots.html", context)


@require_safe
@role_required(*READERS)
def download_snapshot(request: HttpRequest, detector: str, number: int) -> StreamingHttpResponse:
    """The frozen file, byte for byte."""
    found = get_object_or_404(Snapshot.objects.select_related("detector"), detector__name=detector, number=number)
    return _download(snapshot_files.chunks(found), f"{detector}-reference-{number}.jsonl.gz")


# coverage


@require_safe
@role_required(*READERS)
def coverage(request: HttpRequest, detector: str) -> HttpResponse:
    found = get_object_or_404(Detector, name=detector)
    return render(
        request, "labeling/coverage.html", {"detector": found, "report": coverage_service.report(found), "ages": AGES}
    )


# export and import


@require_safe
@role_required(*READERS)
def export_reference(request: HttpRequest, detector: str, suffix: str) -> StreamingHttpResponse:
    """The rows that a filter shows, streamed. No CSV: a spreadsheet would run what attackers wrote."""
    found = get_object_or_404(Detector, name=detector)
    write = EXPORTS.get(suffix)
    if write is None:
        raise Http404
    return _download(write(found, entries.RowFilter.of(request.GET)), f"{detector}-reference.{suffix}")


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*READERS)
def reference_imports(request: HttpRequest, detector: str) -> HttpResponse:
    found = get_object_or_404(Detector, name=detector)
    user = person(request)
    problem = ""
    if request.method == "POST":
        if not user.has_role(*reference_changes.DECIDERS):
            raise PermissionDenied
        file = request.FILES.get("file")
        if file is None or file.size is None or file.size > LARGEST_IMPORT:
            problem = _("Choose a file of at most %(size)s MB; a larger one takes manage.py import_reference.") % {
                "size": LARGEST_IMPORT >> 20
            }
        else:
            staged = imports.stage(
                found, cast(BinaryIO, file.file), file.name or "", user
            )  # a file on the disk when large
            return redirect("labeling:reference-import", staged.pk)
    context = {
        "detector": found,
        "imports": ReferenceImport.objects.filter(detector=found).select_related("by", "decided_by")[:50],
        "may_import": user.has_role(*reference_changes.DECIDERS),
        "problem": problem,
    }
    return render(request, "labeling/reference_imports.html", context, status=400 if problem else 200)


@require_safe
@role_required(*READERS)
def reference_import(request: HttpRequest, pk: int) -> HttpResponse:
    return _import_page(request, _import(pk))


@require_POST
@role_required(Role.SENIOR, Role.ENGINEER)
def decide_import(request: HttpRequest, pk: int) -> HttpResponse:
    """Let rows in as the second person, decline, or take one's own import back."""
    found, note = _import(pk), request.POST.get("note", "")
    try:
        if request.POST.get("approve"):
            return redirect("jobs:job", imports.approve(found, person(request), note).pk)
        imports.decline(found, person(request), note)
    except ChangeRefused as refused:
        return _import_page(request, found, str(refused), 409)
    return redirect("labeling:reference-import", pk)


@require_safe
@role_required(*READERS)
def download_bad_lines(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    return _download(imports.quarantined(_import(pk)), f"import-{pk}-bad-lines.jsonl")


def _import_page(request: HttpRequest, found: ReferenceImport, problem: str = "", status: int = 200) -> HttpResponse:
    user = person(request)
    approves = imports.may_approve(found, user)
    context = {
        "found": found,
        "detector": found.detector,
        "may_approve": approves,
        "may_decline": approves or (found.state == ReferenceImport.State.WAITING and found.by_id == user.pk),
        "problem": problem,
    }
    return render(request, "labeling/reference_import.html", context, status=status)


def _import(pk: int) -> ReferenceImport:
    return get_object_or_404(ReferenceImport.objects.select_related("detector", "by", "decided_by"), pk=pk)


def _download(pieces: Iterator[bytes], name: str) -> StreamingHttpResponse:
    """Attackers wrote what is in it: the browser keeps it and never shows it."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(pieces, content_type="application/octet-stream", headers=headers)


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


def _snapshot(detector: Detector, number: str) -> Snapshot:
    return get_object_or_404(Snapshot, detector=detector, number=paging.key_of(number))
