"""Incidents: the list, one incident, and what people do about it. Only of customers the reader works for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import paging
from accounts.models import User
from accounts.rights import person, role_required
from accounts.roles import EVERYBODY, READERS, Role
from models_registry.models import Detector
from triage.models import Closing, Incident, IncidentState
from triage.services import deadlines, incidents, stopgaps, templates
from triage.services.incidents import IncidentRefused
from triage.services.telemetry import changes, field, rates
from triage.services.telemetry.rates import RateRefused

ACTORS = (Role.ENGINEER, Role.SENIOR)
PAGE = 100


@require_safe
@role_required(*EVERYBODY)
def incident_list(request: HttpRequest) -> HttpResponse:
    reader = person(request)
    visible = Incident.objects.visible_to(reader).listed().select_related("fleet")
    waiting = deadlines.nearest_first(visible.unclosed())[:PAGE]
    before = request.GET.get("before", "")
    closed = visible.filter(state=IncidentState.CLOSED).order_by("-id")
    rows, older = paging.page(closed, before, PAGE)
    context = {
        "waiting": [] if before else waiting,
        "is_first": not before,
        "closed": rows,
        "before": older,
        "rate": rates.now(),
        "history": rates.history(),
        "most": rates.MOST,
    }
    return render(request, "triage/incidents.html", context)


@require_safe
@role_required(*EVERYBODY)
def incident(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "triage/incident.html", _page_of(_visible(person(request), pk), person(request)))


@require_POST
@role_required(*ACTORS)
def acknowledge_incident(request: HttpRequest, pk: int) -> HttpResponse:
    return _do(request, pk, lambda found, by: incidents.acknowledge(found, by, request.POST.get("note", "")))


@require_POST
@role_required(*ACTORS)
def close_incident(request: HttpRequest, pk: int) -> HttpResponse:
    closing, reason = request.POST.get("closing", ""), request.POST.get("reason", "")
    return _do(request, pk, lambda found, by: incidents.close(found, closing, reason, by))


@require_safe
@role_required(*EVERYBODY)
def incident_stop_gaps(request: HttpRequest, pk: int) -> HttpResponse:
    """What could be done at once, and what it costs on our own traffic."""
    found = _visible(person(request), pk)
    context = {"incident": found, "stopgap": stopgaps.of_incident(found), "bundle": incidents.bundle_of(found)}
    return render(request, "triage/_incident_stopgaps.html", context)


@require_POST
@role_required(Role.ENGINEER)
def build_incident_stop_gap(request: HttpRequest, pk: int) -> HttpResponse:
    return _do(request, pk, stopgaps.build_for_incident)


@require_POST
@role_required(*ACTORS)
def choose_rate(request: HttpRequest) -> HttpResponse:
    """How many false incidents a week the whole fleet may raise."""
    try:
        rates.choose(float(request.POST.get("per_week", "")), person(request))
    except (ValueError, RateRefused):
        messages.error(request, _("Expected 0.001 to %(most)s false incidents a week.") % {"most": f"{rates.MOST:g}"})
    else:
        messages.success(request, _("Days that are yet to be closed work with it."))
    return redirect("triage:incidents")


@require_safe
@role_required(*READERS)
def field_standings(request: HttpRequest, name: str) -> HttpResponse:
    """A fragment of the scoreboard: silent versions beside the active one, as customers counted them."""
    detector = get_object_or_404(Detector, name=name)
    context = {"detector": detector, "compared": field.standings(detector), "days": field.WINDOW.days}
    return render(request, "triage/_field.html", context)


def _do(request: HttpRequest, pk: int, verb: Callable[[Incident, User], Any]) -> HttpResponse:
    """Do one thing to an incident; a refusal keeps what was written on the page."""
    reader = person(request)
    found = _visible(reader, pk)
    try:
        verb(found, reader)
    except (IncidentRefused, stopgaps.NoStopGap) as refusal:
        context = _page_of(_visible(reader, pk), reader) | {"problem": refusal, "written": request.POST}
        return render(request, "triage/incident.html", context, status=409)
    messages.success(request, _("Done: %(number)s.") % {"number": found.number})
    return redirect("triage:incident", pk)


def _visible(reader: User, pk: int) -> Incident:
    """Return an incident that its reader may see; to others it does not exist."""
    rows = Incident.objects.visible_to(reader).listed().select_related("detector", "fleet", "mitigated_by")
    return get_object_or_404(rows, pk=pk)


def _page_of(found: Incident, reader: User) -> dict[str, Any]:
    days = list(found.stream.days.order_by("-day")[:42]) if found.stream else []
    visible = Incident.objects.visible_to(reader).listed()
    return {
        "incident": found,
        "reading": found.reading,
        "steps": list(found.steps.select_related("by", "bundle")),
        "notices": list(found.deadline.notices.all()),
        "changes": changes.around(found),
        "days": days,
        "bundle": incidents.bundle_of(found),
        "fix": incidents.fix_of(found, found.customer) if found.customer else None,
        "attached": list(visible.filter(fleet=found)) if found.is_fleet else [],
        "others": list(visible.filter(customer=found.customer_id).unclosed().exclude(pk=found.pk)[:PAGE])
        if not found.is_fleet
        else [],
        "held": found.state != IncidentState.CLOSED,
        "closings": Closing.choices,
        "letters": templates.asking_for_kit(found),
    }
