"""Pages of the gate-house: what was taken in, and what could not be read."""

from __future__ import annotations

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import READERS, Role
from jobs.models import Job
from jobs.services import jobs as job_services
from traffic.forms import UploadForm
from traffic.models import Intake, Sensor
from traffic.services import quarantine as quarantine_services
from traffic.services import replays, uploads

UPLOADERS = (Role.ENGINEER, Role.ADMINISTRATOR)
PAGE = 50


@require_safe
@role_required(*READERS)
def intakes(request: HttpRequest) -> HttpResponse:
    """Newest first, paged by key."""
    before = _number(request, "before")
    chosen = Intake.objects.select_related("sensor").prefetch_related("segments__rule_set", "segments__merged_into")
    if before:
        chosen = chosen.filter(pk__lt=before)
    page = list(chosen[: PAGE + 1])
    older = page[PAGE - 1].pk if len(page) > PAGE else None
    context = {
        "intakes": page[:PAGE],
        "older": older,
        "first": not before,
        "may_upload": person(request).has_role(*UPLOADERS),
    }
    return render(request, "traffic/intakes.html", context)


@require_safe
@role_required(*READERS)
def quarantine(request: HttpRequest, pk: int) -> HttpResponse:
    """The lines of one log that could not be read."""
    intake = get_object_or_404(Intake.objects.select_related("sensor"), pk=pk)
    after = _number(request, "after")
    records = quarantine_services.records(intake, after=after, limit=PAGE + 1)
    more = records[PAGE - 1].number if len(records) > PAGE else None
    context = {
        "intake": intake,
        "records": records[:PAGE],
        "more": more,
        "first": not after,
        "job": replays.newest_job(intake),
        "may_replay": person(request).has_role(*UPLOADERS) and replays.may_be_replayed(intake),
    }
    return render(request, "traffic/quarantine.html", context)


@require_POST
@role_required(*UPLOADERS)
def replay_quarantine(request: HttpRequest, pk: int) -> HttpResponse:
    """Have a worker read them again; the page of the job shows how far it is."""
    intake = get_object_or_404(Intake, pk=pk)
    if not replays.may_be_replayed(intake):
        return HttpResponse(_("Nothing here can be replayed."), status=409, content_type="text/plain; charset=utf-8")
    return redirect("jobs:job", replays.start(intake, person(request)).pk)


@require_safe
@role_required(*READERS)
def download_quarantine(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """The same lines as received; never shown by the browser, attackers wrote them."""
    intake = get_object_or_404(Intake, pk=pk)
    return StreamingHttpResponse(
        quarantine_services.received(intake),
        content_type="application/octet-stream",
        headers={"Content-Disposition": f'attachment; filename="quarantine-{intake.pk}.json"'},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*UPLOADERS)
def upload(request: HttpRequest) -> HttpResponse:
    """A form that works as it is; with its script each file has a bar of its own and its result follows."""
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    user = person(request)
    if form.is_bound and form.is_valid():
        try:
            started = [
                uploads.start(file.name, file.chunks(), file.size, form.cleaned_data["sensor"], user)
                for file in form.cleaned_data["logs"]
            ]
        except uploads.NoRoom as refusal:
            form.add_error(None, str(refusal))
        else:
            if getattr(request, "htmx", None):
                return render(request, "traffic/_uploads.html", {"uploads": started})
            return redirect("traffic:upload")
    status = 400 if form.errors else 200
    if getattr(request, "htmx", None) and form.is_bound:
        return render(request, "traffic/_upload_refused.html", {"form": form})  # htmx shows good answers only
    context = {"form": form, "uploads": uploads.recent(user), "sensors": Sensor.objects.order_by("name")[:200]}
    return render(request, "traffic/upload.html", context, status=status)


@require_safe
@role_required(*UPLOADERS)
def upload_state(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "traffic/_upload.html", {"job": _upload(pk)})


@require_POST
@role_required(*UPLOADERS)
def cancel_upload(request: HttpRequest, pk: int) -> HttpResponse:
    cancelled = job_services.cancel(_upload(pk), person(request))
    return render(request, "traffic/_upload.html", {"job": _upload(pk)}, status=200 if cancelled else 409)


def _upload(pk: int) -> Job:
    return get_object_or_404(Job, pk=pk, kind=uploads.KIND)


def _number(request: HttpRequest, name: str) -> int:
    told = request.GET.get(name, "")
    if not told:
        return 0
    if not (told.isascii() and told.isdecimal() and len(told) < 19):
        raise BadRequest(f"{name} must be a number")
    return int(told)
