"""The way back: from a gate report and from a bundle to the complaints they fix. Fragments that those pages load."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from accounts.rights import person, role_required
from accounts.roles import EVERYBODY, READERS
from models_registry.models import Bundle, GateReport
from triage.models import Complaint, State
from triage.services import fixes, served

MOST = 100


@require_safe
@role_required(*READERS)
def gate_fixes(request: HttpRequest, pk: int) -> HttpResponse:
    """Name the complaints whose fix the gated version is."""
    report = get_object_or_404(GateReport, pk=pk)
    visible = Complaint.objects.visible_to(person(request)).select_related("customer")
    found = visible.filter(states__state=State.FIX_IN_CANDIDATE, states__version=report.version_id).distinct()
    return render(request, "triage/_fixes.html", {"complaints": found.order_by("id")[:MOST]})


@require_safe
@role_required(*EVERYBODY)
def bundle_fixes(request: HttpRequest, pk: int) -> HttpResponse:
    """Name the complaints that a bundle fixes, and those about it."""
    bundle = get_object_or_404(Bundle, pk=pk)
    visible = Complaint.objects.visible_to(person(request)).select_related("customer")
    fixed = visible.filter(states__state=State.FIXED_IN_BUNDLE, states__bundle=bundle).distinct()
    context = {
        "complaints": fixed.order_by("id")[:MOST],
        "about": visible.filter(bundle=bundle).order_by("-id")[:MOST],
        "of_bundle": True,
    }
    return render(request, "triage/_fixes.html", context)


@require_safe
@role_required(*EVERYBODY)
def flagged_again(request: HttpRequest, pk: int, bundle: int) -> HttpResponse:
    """Name the confirmed complaints of a customer that a bundle would flag again: the price of giving it to him."""
    customer = get_object_or_404(served.customers_of(person(request)), pk=pk)
    found = get_object_or_404(Bundle, pk=bundle)
    looked, again = fixes.flagged_again(customer, found)
    return render(request, "triage/_again.html", {"bundle": found, "looked": looked, "again": again})
