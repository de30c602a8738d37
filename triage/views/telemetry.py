"""The field: the fleet on a day, a stream and its chart, silent sites, versions compared. Nothing is changed here."""

from __future__ import annotations

from datetime import date

from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.rights import person, role_required
from accounts.roles import EVERYBODY
from models_registry.models import Version
from triage.models import Stream
from triage.services.telemetry import field, pages


@require_safe
@role_required(*EVERYBODY)
def fleet(request: HttpRequest) -> HttpResponse:
    """Every stream small, those that changed most first."""
    asked = request.GET
    try:
        day = date.fromisoformat(asked["day"]) if asked.get("day") else None
    except ValueError:
        raise BadRequest("day: expected 2026-11-21") from None
    kind = asked.get("kind", "")
    detector = asked.get("detector", "")
    told = pages.fleet(
        person(request),
        day=day,
        detector=detector,
        kind=kind if kind in Stream.Kind.values else "",
        after=asked.get("after", ""),
    )
    context = {"told": told, "kinds": Stream.Kind.choices, "kind": kind, "detector": detector}
    return render(request, "triage/fleet.html", context)


@require_safe
@role_required(*EVERYBODY)
def stream(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "triage/stream.html", {"told": pages.told(_visible(request, pk))})


@require_safe
@role_required(*EVERYBODY)
def stream_chart(request: HttpRequest, pk: int) -> HttpResponse:
    """The chart alone, for the page of an incident."""
    return render(request, "triage/_stream.html", {"told": pages.told(_visible(request, pk))})


@require_safe
@role_required(*EVERYBODY)
def silent_sites(request: HttpRequest) -> HttpResponse:
    return render(request, "triage/silent_sites.html", {"silent": pages.silent(person(request))})


@require_safe
@role_required(*EVERYBODY)
def field_versions(request: HttpRequest, pk: int) -> HttpResponse:
    """A version beside the others of its detector, as customers count them."""
    reader = person(request)
    version = get_object_or_404(Version.objects.select_related("detector"), pk=pk)
    context = {
        "version": version,
        "standings": pages.standings(version.detector, reader),
        "multiples": pages.worst(version, reader),
        "pairs": [field.compare(version, other) for other in pages.partners(version)],
        "days": field.WINDOW.days,
    }
    return render(request, "triage/field_versions.html", context)


def _visible(request: HttpRequest, pk: int) -> Stream:
    rows = pages.streams_of(person(request)).select_related("customer", "version__detector")
    found = rows.filter(pk=pk).first()
    if found is None:
        raise Http404
    return found
