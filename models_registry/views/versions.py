"""Pages of versions: boards, scores, comparisons."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.rights import person, role_required
from accounts.roles import READERS
from models_registry import charts, training_charts
from models_registry.models import Stage
from models_registry.services import boards, candidates, insights, stages
from models_registry.services.scoring import ScoreMismatch
from models_registry.views import rollbacks
from models_registry.views.asked import STAGERS, WINDOWS, version_of, window_of
from models_registry.views.stages import stage_proposals


@require_safe
@role_required(*READERS)
def version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    found = version_of(name, number)
    context = {
        "version": found,
        "report": found.report,
        "learning_curve": training_charts.learning_curve(found.report),
        "coverage": candidates.coverage(found),
        "scoring_job": candidates.newest_job(found),
        "gate_reports": found.gate_reports.select_related("snapshot")[:20],
        "stage_changes": found.stage_changes.select_related("by", "decision__proposal__by"),
        "proposals": [
            one for one in stage_proposals(request, found.detector) if one["proposal"].version_id == found.pk
        ],
        "moves": stages.MOVES[Stage(found.stage)] if person(request).has_role(*STAGERS) else (),
        "rollbacks": rollbacks.to_review(request, found.detector),
        "emergency": rollbacks.emergency(request, found),
        "may_gate": person(request).has_role(*STAGERS),
        "active": found.detector.versions.filter(stage=Stage.ACTIVE).exclude(pk=found.pk).first(),
        "bundle_entries": found.bundle_entries.select_related("bundle")
        .prefetch_related("bundle__publications__customer")
        .order_by("-bundle_id")[:20],
    }
    return render(request, "models_registry/version.html", context)


@require_safe
@role_required(*READERS)
def board(request: HttpRequest, name: str, number: int) -> HttpResponse:
    days, since = window_of(request)
    context = {
        "version": (found := version_of(name, number)),
        "board": boards.board(found, since),
        "days": days,
        "windows": WINDOWS,
    }
    return render(request, "models_registry/_board.html", context)


@require_safe
@role_required(*READERS)
def scores(request: HttpRequest, name: str, number: int) -> HttpResponse:
    found = version_of(name, number)
    context = {
        "version": found,
        "columns": charts.columns(boards.histogram(found, window_of(request)[1])),
        "threshold_x": round(found.threshold * charts.WIDTH, 2),
    }
    return render(request, "models_registry/_scores.html", context)


@require_safe
@role_required(*READERS)
def insight(request: HttpRequest, name: str, number: int) -> HttpResponse:
    """What a version looks at, as its job found it."""
    found = version_of(name, number)
    picture = insights.picture(found)
    weeks = training_charts.drift_bars(picture.weeks) if picture else []
    return render(request, "models_registry/_insight.html", {"version": found, "picture": picture, "weeks": weeks})


@require_safe
@role_required(*READERS)
def against(request: HttpRequest, name: str, number: int, other: int) -> HttpResponse:
    """Two versions side by side over the sessions that both have scored."""
    days, since = window_of(request)
    try:
        comparison = boards.compare(version_of(name, number), version_of(name, other), since)
    except (OSError, ScoreMismatch) as error:  # the rest of the page is of use without it
        return render(request, "models_registry/_against.html", {"error": error})
    context = {"comparison": comparison, "days": days, "windows": WINDOWS}
    return render(request, "models_registry/_against.html", context)
