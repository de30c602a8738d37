"""Home page and health."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import User
from accounts.rights import role_required
from accounts.roles import EVERYBODY
from triage.services import health as health_services
from triage.services import home as home_services


@require_safe
@role_required(*EVERYBODY)
def home(request: HttpRequest) -> HttpResponse:
    assert isinstance(request.user, User)  # role_required let them in
    return render(request, "triage/home.html", {"state": home_services.state(request.user)})


@require_safe
@never_cache
def health(request: HttpRequest) -> JsonResponse:
    """Answer machines that watch this one: open to everybody, names no secret."""
    report = health_services.check()
    return JsonResponse(report.to_dict(), status=200 if report.healthy else 503)
