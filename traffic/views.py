"""Pages of the gate-house: what was taken in, and what could not be read."""

from __future__ import annotations

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.rights import role_required
from accounts.roles import Role
from traffic.models import Intake
from traffic.services import quarantine as quarantine_services

READERS = (Role.EXPERT, Role.SENIOR, Role.ENGINEER, Role.ADMINISTRATOR, Role.AUDITOR)
PAGE = 50


@require_safe
@role_required(*READERS)
def intakes(request: HttpRequest) -> HttpResponse:
    """Newest first, paged by key."""
    before = _number(request, "before")
    chosen = Intake.objects.select_related("sensor").prefetch_related("segments__rule_set")
    if before:
        chosen = chosen.filter(pk__lt=before)
    page = list(chosen[: PAGE + 1])
    older = page[PAGE - 1].pk if len(page) > PAGE else None
    return render(request, "traffic/intakes.html", {"intakes": page[:PAGE], "older": older, "first": not before})


@require_safe
@role_required(*READERS)
def quarantine(request: HttpRequest, pk: int) -> HttpResponse:
    """The lines of one log that could not be read."""
    intake = get_object_or_404(Intake.objects.select_related("sensor"), pk=pk)
    after = _number(request, "after")
    records = quarantine_services.records(intake, after=after, limit=PAGE + 1)
    more = records[PAGE - 1].number if len(records) > PAGE else None
    context = {"intake": intake, "records": records[:PAGE], "more": more, "first": not after}
    return render(request, "traffic/quarantine.html", context)


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


def _number(request: HttpRequest, name: str) -> int:
    told = request.GET.get(name, "")
    if not told:
        return 0
    if not (told.isascii() and told.isdecimal() and len(told) < 19):
        raise BadRequest(f"{name} must be a number")
    return int(told)
