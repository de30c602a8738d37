"""Pages of the bulk verdict: what matches, how far its job is, and the one undo."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import paging
from accounts.rights import person, role_required
from accounts.roles import EXPERTS, READERS
from labeling.forms import EXPIRIES, FormRefused, Word
from labeling.models import Answer, BulkVerdict, Item, Queue, ReasonCode
from labeling.services import bulk as bulk_service
from labeling.services import bulk_previews, details, groups
from labeling.services.filters import FilterRefused, ItemFilter

PAGE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*EXPERTS)
def bulk(request: HttpRequest, slug: str) -> HttpResponse:
    """What matches the filter of the address, and one answer for all of it."""
    queue = get_object_or_404(Queue.objects.select_related("detector"), slug=slug)
    wanted = _wanted(request)
    if request.method != "POST":
        return _preview_page(request, queue, wanted)
    try:
        word = Word.of(request.POST)
    except FormRefused as refusal:
        return _preview_page(request, queue, wanted, problem=str(refusal), status=422)
    shown = request.POST.get("shown", "")
    try:
        begun = bulk_service.start(
            queue,
            wanted,
            person(request),
            word.given,
            digest=request.POST.get("digest", ""),
            shown=int(shown) if shown.isdecimal() and len(shown) < 9 else None,
        )
    except details.LabelRefused as refusal:
        return _preview_page(request, queue, wanted, problem=str(refusal), status=409)
    return redirect("labeling:bulk-verdict", begun.pk)


@require_safe
@role_required(*READERS)
def bulk_verdicts(request: HttpRequest) -> HttpResponse:
    """All bulk verdicts, newest first, paged by key."""
    given = BulkVerdict.objects.select_related("queue__detector", "by", "job", "undo_job").defer("items", "checks")
    found, older = paging.page(given.order_by("-pk"), request.GET.get("before"), PAGE)
    context = {"bulks": found, "before": older}
    return render(request, "labeling/bulk_verdicts.html", context)


@require_safe
@role_required(*READERS)
def bulk_verdict(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "labeling/bulk_verdict.html", _context(request, pk))


@require_safe
@role_required(*READERS)
def bulk_state(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "labeling/_bulk_verdict.html", _context(request, pk))


@require_POST
@role_required(*EXPERTS)
def undo_bulk(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(BulkVerdict, pk=pk)
    try:
        bulk_service.undo(found, person(request))
    except bulk_service.BulkRefused as refusal:
        messages.error(request, str(refusal))
    return redirect("labeling:bulk-verdict", pk)


@require_POST
@role_required(*EXPERTS)
def cancel_bulk(request: HttpRequest, pk: int) -> HttpResponse:
    """What it has answered by then stays answered, until it is undone."""
    found = get_object_or_404(BulkVerdict.objects.select_related("job"), pk=pk)
    try:
        bulk_service.cancel(found, person(request))
    except bulk_service.BulkRefused as refusal:
        messages.error(request, str(refusal))
    return redirect("labeling:bulk-verdict", pk)


def _preview_page(
    request: HttpRequest, queue: Queue, wanted: ItemFilter, *, problem: str = "", status: int = 200
) -> HttpResponse:
    shown = bulk_previews.preview(queue, wanted, person(request))
    against = list(shown.against.values())
    examples = Item.objects.in_bulk([pk for one in against for pk in one.examples])
    context = {
        "queue": queue,
        "wanted": wanted,
        "preview": shown,
        "against": [(one, [examples[pk] for pk in one.examples if pk in examples]) for one in against],
        "most": bulk_previews.MOST,
        "apart": queue.kind in groups.APART,
        "checks": groups.POLICY.checks(shown.items),
        "reasons": list(enumerate(ReasonCode.of_sessions(), start=1)),
        "default_reason": ReasonCode.OTHER.value,
        "families": details.families(queue.detector),
        "expiries": EXPIRIES,
        "problem": problem,
        "sent": request.POST,
    }
    return render(request, "labeling/bulk.html", context, status=status)


def _context(request: HttpRequest, pk: int) -> dict[str, Any]:
    given = BulkVerdict.objects.select_related("queue__detector", "by", "job", "undo_job", "label")
    found = get_object_or_404(given, pk=pk)
    job, undo_job = found.job, found.undo_job
    is_live = any(one is not None and one.is_live for one in (job, undo_job))
    mine = bulk_service.may_end(found, person(request))
    return {
        "bulk": found,
        "is_live": is_live,
        "left_out": bulk_service.why_left_out(found),
        "may_cancel": mine and job is not None and job.is_live and not job.cancel_asked_at,
        "may_undo": mine and not is_live and found.label_id is not None and undo_job is None,
        "answer_name": _answer_name(found),
    }


def _answer_name(found: BulkVerdict) -> str:
    detector = found.queue.detector
    names = {Answer.POSITIVE: detector.positive_class, Answer.NEGATIVE: detector.negative_class}
    return names.get(Answer(found.answer), found.get_answer_display())


def _wanted(request: HttpRequest) -> ItemFilter:
    try:
        return ItemFilter.of(request.GET)
    except FilterRefused as refusal:  # no page of ours writes such an address
        raise BadRequest(str(refusal)) from None
