"""Hosts at risk: organisations, their budget, their entities."""

from __future__ import annotations

from datetime import date

from django.contrib import messages
from django.core.exceptions import BadRequest, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import READERS, Role
from labeling.models import Queue
from traffic.models import Sensor
from triage.forms import BudgetForm, OrganisationForm, PlaceForm, SensorForm
from triage.models import Entity, Organisation, WatchedSensor
from triage.services.risk import comparisons, pages
from triage.services.risk import organisations as services
from triage.services.risk.items import QUEUE

MAKERS = (Role.ADMINISTRATOR, Role.ENGINEER)
CHOOSERS = (Role.SENIOR, Role.ENGINEER)  # of the budget and the weights
MOST_FEATURES, LONGEST_FEATURE = 200, 100


@require_safe
@role_required(*READERS)
def organisations(request: HttpRequest) -> HttpResponse:
    """All organisations, each with what its newest night said."""
    return render(request, "triage/risk.html", _listed(OrganisationForm()))


@require_POST
@role_required(*MAKERS)
def make_organisation(request: HttpRequest) -> HttpResponse:
    form = OrganisationForm(request.POST)
    if form.is_valid():
        try:
            made = services.make(form.cleaned_data["name"], person(request), time_zone=form.cleaned_data["time_zone"])
        except ValidationError as error:
            form.add_error(None, error)
        else:
            messages.success(request, _("%(name)s is there. Its token lets models send scores.") % {"name": made})
            return redirect("triage:organisation", made.slug)
    return render(request, "triage/risk.html", _listed(form), status=422)


@require_POST
@role_required(*MAKERS)
def watch_sensor(request: HttpRequest, pk: int) -> HttpResponse:
    """Say to which organisation the hosts of a sensor belong."""
    sensor = get_object_or_404(Sensor, pk=pk)
    form = SensorForm(sensor, request.POST)
    if form.is_valid():
        try:
            services.watch(sensor, by=person(request), **form.cleaned_data)
        except ValidationError as error:
            form.add_error(None, error)
        else:
            messages.success(request, _("Kept. The next night works with it."))
            return redirect("triage:risk")
    return render(request, "triage/risk.html", _listed(OrganisationForm(), sensor, form), status=422)


@require_safe
@role_required(*READERS)
def organisation(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Organisation, slug=slug)
    asked = request.GET.get("q", "").strip()
    form = BudgetForm(initial={"budget": found.budget, "floor": found.floor})
    return render(request, "triage/organisation.html", _organisation(found, asked, form))


@require_POST
@role_required(*CHOOSERS)
def change_budget(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Organisation, slug=slug)
    form = BudgetForm(request.POST)
    if not form.is_valid():
        return render(request, "triage/organisation.html", _organisation(found, "", form), status=422)
    services.change_budget(found, form.cleaned_data["budget"], form.cleaned_data["floor"], person(request))
    messages.success(request, _("The next night works with it, and every threshold may follow at once."))
    return redirect("triage:organisation", slug)


@require_POST
@role_required(*CHOOSERS)
def change_weights(request: HttpRequest, slug: str) -> HttpResponse:
    """Weigh features otherwise: a new history is learnt, from the scores that are kept."""
    found = get_object_or_404(Organisation, slug=slug)
    features = request.POST.getlist("feature")[:MOST_FEATURES]
    try:
        weights = [_weight(text) for text in request.POST.getlist("weight")]
        told = list(zip(features, weights, request.POST.getlist("group"), strict=True))
        made = services.change_weights(
            found,
            {feature: weight for feature, weight, _group in told if weight != 1},
            {feature: group.strip()[:LONGEST_FEATURE] for feature, _weight, group in told if group.strip()},
            person(request),
        )
    except (ValueError, ValidationError) as error:
        messages.error(request, "; ".join(getattr(error, "messages", [str(error)])))
    else:
        messages.success(request, _("Weights %(number)s: the next night learns with them.") % {"number": made.number})
    return redirect("triage:organisation", slug)


@require_safe
@role_required(*READERS)
def entity(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Entity.objects.select_related("organisation"), pk=pk)
    form = PlaceForm(initial={"peers": found.peers, "ceiling": found.ceiling})
    return render(request, "triage/entity.html", _entity(found, form))


@require_safe
@role_required(*READERS)
def entity_picture(request: HttpRequest, pk: int) -> HttpResponse:
    """The picture alone, for the page of an alert, whose day it marks."""
    found = get_object_or_404(Entity.objects.select_related("organisation"), pk=pk)
    try:
        day = date.fromisoformat(request.GET["day"]) if "day" in request.GET else None
    except ValueError:
        raise BadRequest("day: expected 2026-11-21") from None
    return render(request, "triage/_portrait.html", {"told": pages.portrait(found, day)})


@require_POST
@role_required(*CHOOSERS)
def place_entity(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Entity.objects.select_related("organisation"), pk=pk)
    form = PlaceForm(request.POST)
    if not form.is_valid():
        return render(request, "triage/entity.html", _entity(found, form), status=422)
    services.place(found, person(request), **form.cleaned_data)
    messages.success(request, _("Kept. The next night works with it."))
    return redirect("triage:entity", pk)


def _entity(found: Entity, form: PlaceForm) -> dict[str, object]:
    compared = comparisons.of_entity(found)
    return {"told": pages.portrait(found), "form": form, "compared": compared} | {
        "rarities": [round(1 / q) for q in comparisons.RARITIES],
        "values": comparisons.VALUES,
    }


def _weight(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise ValueError(_("A weight is a number of 0 or more.")) from None


def _listed(form: OrganisationForm, sensor: Sensor | None = None, wrong: SensorForm | None = None) -> dict[str, object]:
    """Return what the list shows; `wrong`: the form of a sensor as it was sent."""
    sensors = [
        (one, watched, wrong if wrong is not None and one == sensor else _sensor_form(one, watched))
        for one, watched in pages.sensors()
    ]
    return {"organisations": pages.listed(), "form": form, "sensors": sensors}


def _sensor_form(sensor: Sensor, watched: WatchedSensor | None) -> SensorForm:
    told = {"organisation": watched.organisation, "networks": watched.networks} if watched else {}
    return SensorForm(sensor, initial=told)


def _organisation(found: Organisation, asked: str, form: BudgetForm) -> dict[str, object]:
    entities = pages.named(found, asked) if asked else []
    return {"told": pages.overview(found), "form": form, "asked": asked, "entities": entities} | {
        "queue_is_there": Queue.objects.filter(slug=QUEUE).exists(),
        "sources": pages.sources(found),
    }
