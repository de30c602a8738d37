"""Home page, search, health."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.rights import person, role_required
from accounts.roles import EVERYBODY, READERS
from triage.examples import examples
from triage.services import health as health_services
from triage.services import home as home_services
from triage.services import search as search_services


@require_safe
@role_required(*EVERYBODY)
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "triage/home.html", {"state": home_services.state(person(request))})


@require_safe
@role_required(*EVERYBODY)
def home_state(request: HttpRequest) -> HttpResponse:
    """The home page's figures, boards and queues as they are now."""
    return render(request, "triage/_home.html", {"state": home_services.state(person(request))})


@require_safe
@role_required(*EVERYBODY)
def top_bar(request: HttpRequest) -> HttpResponse:
    """What runs and what the reader did today, for the bar on every page."""
    return render(request, "_bar.html")


@require_safe
@role_required(*EVERYBODY)
def search(request: HttpRequest) -> HttpResponse:
    """What a question may mean: below the field while it is typed, on a page of its own after Enter."""
    asked = request.GET.get("q", "")
    context = {"asked": asked, "found": search_services.search(asked, person(request))}
    is_fragment = request.htmx and not request.htmx.boosted  # type: ignore[attr-defined]
    return render(request, "triage/_found.html" if is_fragment else "triage/search.html", context)


@require_safe
@role_required(*EVERYBODY)
def design(request: HttpRequest) -> HttpResponse:
    """Every component of the house, drawn by the partials that pages use."""
    return render(request, "triage/design.html", {"examples": examples()})


@require_safe
@never_cache
def health(request: HttpRequest) -> JsonResponse:
    """Answer machines that watch this one: open to everybody, names no secret."""
    report = health_services.check()
    return JsonResponse(report.to_dict(), status=200 if report.healthy else 503)


@require_safe
@role_required(*READERS)
def health_page(request: HttpRequest) -> HttpResponse:
    return render(request, "triage/health.html", {"health": health_services.check()})


@require_safe
@role_required(*READERS)
def health_live(request: HttpRequest) -> HttpResponse:
    return render(request, "triage/_health.html", {"health": health_services.check()})
