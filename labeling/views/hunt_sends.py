"""Sending what a hunt found to a queue: what would be made, how far its job is, and the one undo."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import paging
from accounts.rights import person, role_required
from detection.filters import FilterError
from labeling.models import HuntSend
from labeling.services import hunt_sends as services
from labeling.services import hunts
from labeling.services.hunt_folds import MOST
from labeling.views.hunts import asked_since, asked_version
from labeling.views.queues import READERS
from models_registry.models import Detector
from models_registry.services.hunt_tables import HuntTooLong
from models_registry.services.hunts import Window

PAGE = 50


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*services.SENDERS)
def send_hunt(request: HttpRequest) -> HttpResponse:
    """What the filter of the address would become in a detector's queue."""
    if request.method != "POST":
        return _preview_page(request)
    detector = Detector.objects.filter(name=request.GET.get("detector", "")).first()
    if detector is None:
        return _preview_page(request, status=422)
    until = _moment(request.POST.get("until", "")) or timezone.now()
    try:
        sent = services.start(
            request.GET.get("q", ""),
            detector,
            person(request),
            request.POST.get("note", ""),
            since=asked_since(request, until),
            until=until,
            under_test=asked_version(request),
        )
    except services.SendRefused as refusal:
        return _preview_page(request, problem=str(refusal), status=409)
    except FilterError as error:
        return _preview_page(request, problem=error.told(gettext), status=400)
    except HuntTooLong as error:
        return _preview_page(request, problem=str(error), status=400)
    return redirect("labeling:hunt-send", sent.pk)


@require_safe
@role_required(*READERS)
def hunt_sends(request: HttpRequest) -> HttpResponse:
    """All that was sent, newest first, paged by key."""
    sends = HuntSend.objects.select_related("queue__detector", "by", "job", "undo_job")
    found, older = paging.page(sends.order_by("-pk"), request.GET.get("before"), PAGE)
    context = {"sends": found, "before": older}
    return render(request, "labeling/hunt_sends.html", context)


@require_safe
@role_required(*READERS)
def hunt_send(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "labeling/hunt_send.html", _context(request, pk))


@require_safe
@role_required(*READERS)
def hunt_send_state(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "labeling/_hunt_send.html", _context(request, pk))


@require_POST
@role_required(*services.SENDERS)
def undo_hunt_send(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(HuntSend, pk=pk)
    try:
        services.undo(found, person(request))
    except services.SendRefused as refusal:
        messages.error(request, str(refusal))
    return redirect("labeling:hunt-send", pk)


@require_POST
@role_required(*services.SENDERS)
def cancel_hunt_send(request: HttpRequest, pk: int) -> HttpResponse:
    """The items it has made by then stay, until it is undone."""
    found = get_object_or_404(HuntSend.objects.select_related("job"), pk=pk)
    try:
        services.cancel(found, person(request))
    except services.SendRefused as refusal:
        messages.error(request, str(refusal))
    return redirect("labeling:hunt-send", pk)


def _preview_page(request: HttpRequest, *, problem: str = "", status: int = 200) -> HttpResponse:
    now = timezone.now()
    context: dict[str, Any] = {
        "q": request.GET.get("q", ""),
        "days": request.GET.get("days", ""),
        "under_test": request.GET.get("under_test", ""),
        "query": request.GET.urlencode(),
        "detectors": Detector.objects.order_by("name"),
        "until": now,
        "most": MOST,
        "note": request.POST.get("note", ""),
    }
    try:
        window = Window(asked_since(request, now), now)
        hunt = hunts.prepare(context["q"], window=window, under_test=asked_version(request), now=now)
        name = request.GET.get("detector") or hunts.detector_of(hunt)
        context["detector"] = chosen = Detector.objects.filter(name=name).first()
        if chosen is not None:
            context["preview"] = services.preview(hunt, chosen)
    except FilterError as error:
        problem, status = error.told(gettext), 400
    except HuntTooLong as error:
        problem, status = str(error), 400
    return render(request, "labeling/send_hunt.html", context | {"problem": problem}, status=status)


def _context(request: HttpRequest, pk: int) -> dict[str, Any]:
    sends = HuntSend.objects.select_related("queue__detector", "by", "job", "undo_job")
    found = get_object_or_404(sends, pk=pk)
    jobs = [job for job in (found.job, found.undo_job) if job is not None]
    is_live = any(job.is_live for job in jobs)
    mine = found.by_id == person(request).pk
    sent = list(found.sent.values_list("removed", flat=True))
    return {
        "send": found,
        "made": len(sent),
        "removed": sum(one is True for one in sent),
        "newest": found.sent.select_related("item").order_by("-item__priority", "item")[:20],
        "is_live": is_live,
        "live_job": next((job for job in reversed(jobs) if job.is_live), None),
        "may_cancel": mine and found.job is not None and found.job.is_live and not found.job.cancel_asked_at,
        "may_undo": mine and not is_live and bool(sent) and found.undo_job is None,
    }


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
