"""Versions against each other: the scoreboard of the silent ones, and two on the same sessions."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from accounts.rights import role_required
from labeling.services import scoreboard as service
from labeling.views.queues import READERS
from models_registry.models import Detector, Stage, Version
from models_registry.services import ab
from models_registry.services.scoring import ScoreMismatch
from models_registry.views.asked import WINDOWS, window_of


@require_safe
@role_required(*READERS)
def scoreboard(request: HttpRequest, name: str) -> HttpResponse:
    found = get_object_or_404(Detector, name=name)
    return render(request, "labeling/scoreboard.html", {"detector": found, "days": service.WINDOW.days})


@require_safe
@role_required(*READERS)
def standings(request: HttpRequest, name: str) -> HttpResponse:
    """The table itself: it counts hosts over score files, so it comes after the page."""
    found = get_object_or_404(Detector, name=name)
    try:
        context: dict[str, Any] = {"detector": found, "standings": service.standings(found, timezone.now())}
    except (OSError, ScoreMismatch) as error:
        context = {"detector": found, "error": error}
    return render(request, "labeling/_standings.html", context)


@require_safe
@role_required(*READERS)
def versus(request: HttpRequest, name: str) -> HttpResponse:
    """Two versions on the same sessions; without a choice, the active one and the newest silent one."""
    found = get_object_or_404(Detector, name=name)
    versions = list(found.versions.select_related("detector").order_by("-number"))
    one = _chosen(versions, request.GET.get("one", ""), (Stage.ACTIVE, Stage.SILENT))
    rest = [version for version in versions if version != one]
    other = _chosen(rest, request.GET.get("other", ""), (Stage.SILENT, Stage.CANDIDATE, Stage.RETIRED, Stage.ACTIVE))
    days, _since = window_of(request)
    context = {"detector": found, "versions": versions, "one": one, "other": other, "days": days, "windows": WINDOWS}
    return render(request, "labeling/versus.html", context)


@require_safe
@role_required(*READERS)
def versus_counts(request: HttpRequest, name: str, one: int, other: int) -> HttpResponse:
    versions = {
        version.number: version for version in Version.objects.filter(detector__name=name, number__in=(one, other))
    }
    if one == other or len(versions) < 2:
        raise Http404
    days, since = window_of(request)
    try:
        context: dict[str, Any] = {"versus": ab.versus(versions[one], versions[other], since), "days": days or ""}
    except (OSError, ScoreMismatch) as error:
        context = {"error": error}
    return render(request, "labeling/_versus.html", context)


def _chosen(versions: list[Version], asked: str, stages: tuple[Stage, ...]) -> Version | None:
    named = next((one for one in versions if str(one.number) == asked), None)
    by_stage = sorted((one for one in versions if one.stage in stages), key=lambda one: stages.index(Stage(one.stage)))
    return named or next(iter(by_stage), None)
