"""Stages of versions: proposals, and what the second person says."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.rights import person, role_required
from accounts.roles import Role
from models_registry.models import (
    Detector,
    Stage,
    StageProposal,
    Version,
)
from models_registry.services import stages, two_people
from models_registry.views.asked import STAGERS, version_of


@require_POST
@role_required(*STAGERS)
def propose_stage(request: HttpRequest, name: str, number: int) -> HttpResponse:
    found = version_of(name, number)
    try:
        proposal = stages.propose(
            found,
            request.POST.get("stage", ""),
            person(request),
            reason=request.POST.get("reason", ""),
            displaced_to=request.POST.get("displaced_to") or Stage.RETIRED,
        )
    except stages.StageRefused as refusal:
        messages.error(request, str(refusal))
    else:
        partner = two_people.PARTNER[Role(proposal.role)].label
        messages.success(request, _("Proposed. Before it takes effect it needs: %(partner)s.") % {"partner": partner})
    return redirect("models_registry:version", name, number)


@require_POST
@role_required(*STAGERS)
def approve_stage(request: HttpRequest, pk: int) -> HttpResponse:
    proposal = get_object_or_404(StageProposal.objects.select_related("version__detector", "by"), pk=pk)
    try:
        decision = stages.approve(proposal, person(request))
    except stages.StageRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("%(what)s, approved by %(by)s.") % {"what": proposal, "by": decision.by})
    return _to_version(proposal.version)


@require_POST
@role_required(*STAGERS)
def decline_stage(request: HttpRequest, pk: int) -> HttpResponse:
    proposal = get_object_or_404(StageProposal.objects.select_related("version__detector", "by"), pk=pk)
    try:
        stages.decline(proposal, person(request), request.POST.get("reason", ""))
    except stages.StageRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Declined: %(what)s.") % {"what": proposal})
    return _to_version(proposal.version)


def _to_version(changed: Version) -> HttpResponse:
    return redirect("models_registry:version", changed.detector.name, changed.number)


def stage_proposals(request: HttpRequest, about: Detector | None = None) -> list[dict[str, Any]]:
    """Return the proposals that wait, with whether the reader is the one they wait for."""
    user = person(request)
    return [
        {
            "proposal": proposal,
            "is_mine": two_people.may_approve(proposal, user),
            "may_decline": user.has_role(*STAGERS),
        }
        for proposal in stages.proposals(about)
    ]
