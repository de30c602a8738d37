"""Ship queries: the list, a form that proposes terms, and what the second person says."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import READERS, Role
from detection.ship_queries import allowed, differences
from models_registry.forms import ShipQueryForm
from models_registry.models import Detector, ShipQuery, ShipQueryProposal
from models_registry.services import ship_queries as services
from models_registry.services import two_people
from models_registry.services.two_people import ChangeRefused
from models_registry.views.asked import STAGERS


@require_safe
@role_required(*READERS)
def ship_queries(request: HttpRequest) -> HttpResponse:
    """All queries in force, and the proposals that wait; `detector` leaves one detector's."""
    about = Detector.objects.filter(name=request.GET.get("detector", "")).first()
    found = ShipQuery.objects.in_force().select_related("detector", "made_by", "approved_by")
    if about:
        found = found.filter(detector=about)
    context = {
        "queries": [(query, allowed(query.ceilings)) for query in found.order_by("detector__name", "name")],
        "changes": query_changes(request, about),
        "about": about,
        "may_change": person(request).has_role(*STAGERS),
    }
    return render(request, "models_registry/ship_queries.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*STAGERS)
def propose_ship_query(request: HttpRequest) -> HttpResponse:
    """A form with the terms of `query` of `detector`, or with a `filter` that a hunt found."""
    form = ShipQueryForm(request.POST or None, initial=_initial(request))
    if form.is_valid():
        told = form.cleaned_data
        try:
            proposal = services.propose(
                told["detector"], told["name"], told["terms"], person(request), reason=told["reason"]
            )
        except ChangeRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            partner = two_people.PARTNER[Role(proposal.role)].label
            messages.success(request, _("Proposed. It needs: %(partner)s.") % {"partner": partner})
            return redirect("models_registry:ship-queries")
    context = {"form": form, "is_change": "query" in request.GET}
    return render(request, "models_registry/propose_ship_query.html", context, status=400 if form.errors else 200)


@require_POST
@role_required(*STAGERS)
def approve_ship_query(request: HttpRequest, pk: int) -> HttpResponse:
    proposal = get_object_or_404(ShipQueryProposal.objects.select_related("detector", "after", "by"), pk=pk)
    try:
        decision = services.approve(proposal, person(request))
    except ChangeRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("%(what)s, approved by %(by)s.") % {"what": proposal, "by": decision.by})
    return redirect("models_registry:ship-queries")


@require_POST
@role_required(*STAGERS)
def decline_ship_query(request: HttpRequest, pk: int) -> HttpResponse:
    proposal = get_object_or_404(ShipQueryProposal.objects.select_related("detector", "by"), pk=pk)
    try:
        services.decline(proposal, person(request), request.POST.get("reason", ""))
    except ChangeRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Declined: %(what)s.") % {"what": proposal})
    return redirect("models_registry:ship-queries")


def query_changes(request: HttpRequest, about: Detector | None = None) -> list[dict[str, Any]]:
    """Return the waiting proposals, each with what it would change and whether the reader is its second person."""
    user = person(request)
    return [
        {
            "proposal": proposal,
            "facts": _facts(proposal),
            "is_mine": two_people.may_approve(proposal, user),
            "may_decline": user.has_role(*STAGERS),
        }
        for proposal in services.proposals(about)
    ]


def _facts(proposal: ShipQueryProposal) -> list[tuple[str, str, str]]:
    old = proposal.after.read if proposal.after else None
    if proposal.read is None:
        return [(_("the query"), old.filter if old else "", "")]
    return list(differences(old, proposal.read))


def _initial(request: HttpRequest) -> dict[str, Any]:
    detector, name = request.GET.get("detector", ""), request.GET.get("query", "")
    query = ShipQuery.objects.in_force().filter(detector__name=detector, name=name).first()
    terms = ShipQueryForm.initial_of(query.read) if query and query.read else {"filter": request.GET.get("filter", "")}
    return {"detector": detector, "name": name} | terms
