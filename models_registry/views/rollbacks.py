"""Emergency rollbacks: by one person at once, looked at by another one afterwards."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.rights import person, role_required
from accounts.roles import Role
from models_registry.models import Detector, Rollback, Stage, Version
from models_registry.services import rollbacks, two_people
from models_registry.views.asked import STAGERS, version_of


@require_POST
@role_required(*STAGERS)
def roll_back(request: HttpRequest, name: str, number: int) -> HttpResponse:
    found = version_of(name, number)
    try:
        made = rollbacks.roll_back(found, person(request), request.POST.get("reason", ""))
    except rollbacks.RollbackRefused as refusal:
        messages.error(request, str(refusal))
    else:
        partner = two_people.PARTNER[Role(made.role)].label
        told = _("Rolled back: %(what)s. It waits for a look by: %(partner)s.")
        messages.success(request, told % {"what": made, "partner": partner})
    return redirect("models_registry:version", name, number)


@require_POST
@role_required(*STAGERS)
def review_rollback(request: HttpRequest, pk: int) -> HttpResponse:
    related = Rollback.objects.select_related("change__version__detector", "restored__version__detector", "by")
    found = get_object_or_404(related, pk=pk)
    try:
        rollbacks.review(found, person(request), request.POST.get("outcome", ""), request.POST.get("note", ""))
    except rollbacks.RollbackRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Looked at: %(what)s.") % {"what": found})
    version = found.change.version
    return redirect("models_registry:version", version.detector.name, version.number)


def to_review(request: HttpRequest, about: Detector | None = None) -> list[dict[str, Any]]:
    """Return the rollbacks that nobody has looked at, with whether the reader is who they wait for."""
    user = person(request)
    return [{"rollback": one, "is_mine": two_people.may_approve(one, user)} for one in rollbacks.pending(about)]


def emergency(request: HttpRequest, version: Version) -> dict[str, Any] | None:
    """Return what the panel of an emergency says of a version; None where there is nothing to roll back."""
    if version.stage != Stage.ACTIVE or not person(request).has_role(*STAGERS):
        return None
    return {"former": rollbacks.former(version)}
