"""Thresholds of a version by site and sensor: a part of its dial."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_POST, require_safe

from accounts.rights import person, role_required
from models_registry.models import Site, Version
from triage.forms import LookForm, SiteBudgetForm
from triage.services.risk import places
from triage.views.risk import CHOOSERS, READERS


@require_safe
@role_required(*READERS)
def place_thresholds(request: HttpRequest, detector: str, number: int) -> HttpResponse:
    """What each place's own score counts say of the threshold of the dial."""
    version = get_object_or_404(Version.objects.select_related("detector"), detector__name=detector, number=number)
    form = LookForm(request.GET)
    return _shown(request, version, form)


@require_POST
@role_required(*CHOOSERS)
def change_site_budget(request: HttpRequest, detector: str, number: int, pk: int) -> HttpResponse:
    """Say how many alerts a day a site may raise; answers with the places as they are then."""
    version = get_object_or_404(Version.objects.select_related("detector"), detector__name=detector, number=number)
    site = get_object_or_404(Site.objects.select_related("customer"), pk=pk)
    form = SiteBudgetForm(request.POST)
    if not form.is_valid():
        return _shown(request, version, LookForm(request.POST), status=422, wrong=(site.pk, form))
    places.change_budget(site, form.cleaned_data["per_day"], person(request))
    return _shown(request, version, LookForm(request.POST))


def _shown(request: HttpRequest, version: Version, form: LookForm, **context: Any) -> HttpResponse:
    status = context.pop("status", 200)
    looked = form.cleaned_data if form.is_valid() else {}
    threshold = looked.get("threshold") or version.threshold
    usual = looked.get("usual") or places.POLICY.budget
    told = places.of_version(version, threshold, usual)
    page = {"version": version, "told": told, "threshold": threshold, "usual": usual, "form": form} | context
    return render(request, "triage/_places.html", page, status=status)
