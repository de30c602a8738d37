"""Pages of detectors: what they find, by which rules, when they are trained."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import READERS, Role
from models_registry.forms import ChangeForm, NewDetectorForm, RulesForm, ScheduleForm
from models_registry.models import (
    Detector,
    DetectorProposal,
    Stage,
)
from models_registry.services import detector_changes, mapping_preview, two_people
from models_registry.services import detectors as detector_service
from models_registry.views.asked import STAGERS
from models_registry.views.stages import stage_proposals

SIDE_BY_SIDE = 3  # silent versions compared with the active one on a detector's page


@require_safe
@role_required(*READERS)
def detectors(request: HttpRequest) -> HttpResponse:
    found = Detector.objects.prefetch_related("versions__training_set", "versions__detector")
    context = {
        "detectors": found,
        "proposals": stage_proposals(request),
        "changes": _changes(request),
        "may_make": person(request).has_role(*STAGERS),
    }
    return render(request, "models_registry/detectors.html", context)


@require_safe
@role_required(*READERS)
def detector(request: HttpRequest, name: str) -> HttpResponse:
    found = get_object_or_404(Detector, name=name)
    versions = list(found.versions.select_related("training_set", "detector").order_by("-number"))
    context = {
        "detector": found,
        "proposals": stage_proposals(request, found),
        "changes": _changes(request, found),
        "may_change": person(request).has_role(*STAGERS),
        "schedule_form": ScheduleForm(
            initial={name: getattr(found, column) for name, column in detector_service.SCHEDULE.items()}
        ),
        "active": next((one for one in versions if one.stage == Stage.ACTIVE), None),
        "silent": [one for one in versions if one.stage == Stage.SILENT][:SIDE_BY_SIDE],
        "mapping": (mapping := found.mappings.order_by("-number").first()),
        "mapping_facts": _facts(mapping.mapping) if mapping else [],
        "versions": versions,
        "snapshots": found.snapshots.order_by("-number")[:10],
    }
    return render(request, "models_registry/detector.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*STAGERS)
def make_detector(request: HttpRequest) -> HttpResponse:
    form = NewDetectorForm(request.POST or None)
    if form.is_valid():
        try:
            made = detector_service.make_detector(form.spec, by=person(request))
        except (detector_service.DetectorError, ValidationError) as error:
            form.add_error(None, error if isinstance(error, ValidationError) else str(error))
        else:
            messages.success(request, _("Made: %(name)s. It is trained at its hour, or now.") % {"name": made.name})
            return redirect("models_registry:detector", made.name)
    return render(request, "models_registry/make_detector.html", {"form": form}, status=400 if form.errors else 200)


@require_POST
@role_required(*STAGERS)
def preview_rules(request: HttpRequest) -> HttpResponse:
    """What the rules in a form would mean, while somebody types."""
    form = RulesForm(request.POST)
    protocol = request.POST.get("protocol", "")
    context: dict[str, Any] = {"form": form}
    if form.is_valid() and protocol in detector_service.protocols():
        context["preview"] = mapping_preview.preview(form.cleaned_data["mapping"], protocol, timezone.now())
        context["days"] = mapping_preview.DAYS
    return render(request, "models_registry/_preview.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*STAGERS)
def change_detector(request: HttpRequest, name: str) -> HttpResponse:
    found = get_object_or_404(Detector, name=name)
    now = {**found.mapping.mapping, "false_positive_cost": found.false_positive_cost}
    form = ChangeForm(request.POST or None, initial=now)
    if form.is_valid():
        told = form.cleaned_data
        try:
            proposal = detector_changes.propose(
                found, person(request), rules=told["rules"], cost=told["false_positive_cost"], reason=told["reason"]
            )
        except detector_changes.ChangeRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            partner = two_people.PARTNER[Role(proposal.role)].label
            messages.success(request, _("Proposed. It needs: %(partner)s.") % {"partner": partner})
            return redirect("models_registry:detector", name)
    context = {"form": form, "detector": found}
    return render(request, "models_registry/change_detector.html", context, status=400 if form.errors else 200)


@require_POST
@role_required(*STAGERS)
def change_schedule(request: HttpRequest, name: str) -> HttpResponse:
    found = get_object_or_404(Detector, name=name)
    form = ScheduleForm(request.POST)
    if form.is_valid():
        detector_service.change_schedule(found, form.schedule, by=person(request))
        messages.success(request, _("The schedule is changed."))
    else:
        messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
    return redirect("models_registry:detector", name)


@require_POST
@role_required(*STAGERS)
def approve_change(request: HttpRequest, pk: int) -> HttpResponse:
    proposal = get_object_or_404(DetectorProposal.objects.select_related("detector", "after", "by"), pk=pk)
    try:
        decision = detector_changes.approve(proposal, person(request))
    except detector_changes.ChangeRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("%(what)s, approved by %(by)s.") % {"what": proposal, "by": decision.by})
    return redirect("models_registry:detector", proposal.detector.name)


@require_POST
@role_required(*STAGERS)
def decline_change(request: HttpRequest, pk: int) -> HttpResponse:
    proposal = get_object_or_404(DetectorProposal.objects.select_related("detector", "by"), pk=pk)
    try:
        detector_changes.decline(proposal, person(request), request.POST.get("reason", ""))
    except detector_changes.ChangeRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("Declined: %(what)s.") % {"what": proposal})
    return redirect("models_registry:detector", proposal.detector.name)


def _changes(request: HttpRequest, about: Detector | None = None) -> list[dict[str, Any]]:
    """Return the waiting proposals about rules and prices, each with what it would change."""
    user = person(request)
    return [
        {
            "proposal": proposal,
            "facts": _difference(proposal.after.mapping, proposal.mapping),
            "is_mine": two_people.may_approve(proposal, user),
            "may_decline": user.has_role(*STAGERS),
        }
        for proposal in detector_changes.proposals(about)
    ]


def _difference(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what a mapping loses and gains: name, gone, come."""
    return [
        (name.replace("_", " "), " · ".join(sorted(was - now)), " · ".join(sorted(now - was)))
        for name in new
        if (was := _words(old.get(name))) != (now := _words(new[name]))
    ]


def _words(value: Any) -> set[str]:
    return set(map(str, value)) if isinstance(value, list) else {str(value)} - {"None"}


def _facts(mapping: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a rule mapping names, as lines of text."""
    return [
        (name.replace("_", " "), " · ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in mapping.items()
        if value not in (None, [], "")
    ]
