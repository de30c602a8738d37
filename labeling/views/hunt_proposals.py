"""A sentence in, a filter proposed: fragments of the hunt page. What comes back is put into the box by a person."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts.rights import person, role_required
from labeling.models import HuntProposal
from labeling.services import hunt_proposals as proposals


@require_POST
@role_required(*proposals.ASKERS)
def propose_hunt(request: HttpRequest) -> HttpResponse:
    try:
        asked = proposals.ask(request.POST.get("sentence", ""), person(request))
    except proposals.ProposalRefused as refusal:
        return render(request, "labeling/_hunt_proposal.html", {"refusal": str(refusal)}, status=409)
    return _shown(request, asked)


@require_safe
@role_required(*proposals.ASKERS)
def hunt_proposal(request: HttpRequest, pk: int) -> HttpResponse:
    """One's own question, and what came of it."""
    return _shown(request, get_object_or_404(HuntProposal.objects.filter(by=person(request)), pk=pk))


def _shown(request: HttpRequest, asked: HuntProposal) -> HttpResponse:
    problem = proposals.problem_of(asked) if asked.filter else None
    arrow = " " * (problem.column - 1) + "^" if problem else ""
    context = {"asked": asked, "problem": problem.told(_) if problem else "", "arrow": arrow}
    return render(request, "labeling/_hunt_proposal.html", context)
