"""Pages of the store: models, versions and their stages, gate reports, bundles."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import Role
from models_registry import charts
from models_registry.forms import ChangeForm, IndicatorsForm, NewDetectorForm, RulesForm, ScheduleForm
from models_registry.models import (
    Bundle,
    Customer,
    Detector,
    DetectorProposal,
    GateReport,
    IndicatorList,
    Stage,
    StageProposal,
    Version,
)
from models_registry.services import boards, candidates, detector_changes, mapping_preview, stages, two_people
from models_registry.services import customers as customer_service
from models_registry.services import detectors as detector_service
from models_registry.services import indicators as indicator_service
from models_registry.services.scoring import ScoreMismatch

SIDE_BY_SIDE = 3  # silent versions compared with the active one on a detector's page
WINDOWS = (7, 30, 0)  # days; 0 is all that is stored
KEEPERS = (Role.ADMINISTRATOR, Role.ENGINEER)
STAGERS = (Role.ENGINEER, Role.SENIOR)
READERS = (Role.EXPERT, Role.SENIOR, Role.ENGINEER, Role.ADMINISTRATOR, Role.AUDITOR)


@require_safe
@role_required(*READERS)
def detectors(request: HttpRequest) -> HttpResponse:
    found = Detector.objects.prefetch_related("versions__training_set", "versions__detector")
    context = {
        "detectors": found,
        "proposals": _proposals(request),
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
        "proposals": _proposals(request, found),
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


@require_safe
@role_required(*READERS)
def version(request: HttpRequest, name: str, number: int) -> HttpResponse:
    found = _version(name, number)
    context = {
        "version": found,
        "report": found.report,
        "coverage": candidates.coverage(found),
        "scoring_job": candidates.newest_job(found),
        "gate_reports": found.gate_reports.select_related("snapshot")[:20],
        "stage_changes": found.stage_changes.select_related("by", "decision__proposal__by"),
        "proposals": [one for one in _proposals(request, found.detector) if one["proposal"].version_id == found.pk],
        "moves": stages.MOVES[Stage(found.stage)] if person(request).has_role(*STAGERS) else (),
        "active": found.detector.versions.filter(stage=Stage.ACTIVE).exclude(pk=found.pk).first(),
        "bundle_entries": found.bundle_entries.select_related("bundle").order_by("-bundle_id")[:20],
    }
    return render(request, "models_registry/version.html", context)


@require_safe
@role_required(*READERS)
def board(request: HttpRequest, name: str, number: int) -> HttpResponse:
    days, since = _window(request)
    context = {
        "version": (found := _version(name, number)),
        "board": boards.board(found, since),
        "days": days,
        "windows": WINDOWS,
    }
    return render(request, "models_registry/_board.html", context)


@require_safe
@role_required(*READERS)
def scores(request: HttpRequest, name: str, number: int) -> HttpResponse:
    found = _version(name, number)
    context = {
        "version": found,
        "columns": charts.columns(boards.histogram(found, _window(request)[1])),
        "threshold_x": round(found.threshold * charts.WIDTH, 2),
    }
    return render(request, "models_registry/_scores.html", context)


@require_safe
@role_required(*READERS)
def against(request: HttpRequest, name: str, number: int, other: int) -> HttpResponse:
    """Two versions side by side over the sessions that both have scored."""
    days, since = _window(request)
    try:
        comparison = boards.compare(_version(name, number), _version(name, other), since)
    except (OSError, ScoreMismatch) as error:  # the rest of the page is of use without it
        return render(request, "models_registry/_against.html", {"error": error})
    context = {"comparison": comparison, "days": days, "windows": WINDOWS}
    return render(request, "models_registry/_against.html", context)


@require_POST
@role_required(*STAGERS)
def propose_stage(request: HttpRequest, name: str, number: int) -> HttpResponse:
    found = _version(name, number)
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


@require_safe
@role_required(*READERS)
def gate(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(GateReport.objects.select_related("version__detector", "snapshot"), pk=pk)
    return render(request, "models_registry/gate.html", {"gate": found, "report": found.report})


@require_safe
@role_required(*READERS, Role.SUPPORT)
def bundles(request: HttpRequest) -> HttpResponse:
    found = Bundle.objects.prefetch_related("entries__version__detector")[:100]
    return render(request, "models_registry/bundles.html", {"bundles": found})


@require_safe
@role_required(*READERS, Role.SUPPORT)
def bundle(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Bundle, pk=pk)
    entries = found.entries.select_related("version__detector", "gate_report")
    metadata = json.dumps(found.metadata, indent=2, ensure_ascii=False)
    return render(request, "models_registry/bundle.html", {"bundle": found, "entries": entries, "metadata": metadata})


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*READERS)
def indicator_lists(request: HttpRequest) -> HttpResponse:
    """Lists in force, and a form that imports one."""
    may_import = person(request).has_role(*STAGERS)
    if request.method == "POST" and not may_import:
        raise PermissionDenied
    form = IndicatorsForm(request.POST, request.FILES) if request.method == "POST" else IndicatorsForm()
    if form.is_bound and form.is_valid():
        told = form.cleaned_data
        try:
            version = indicator_service.import_list(
                told["name"], told["kind"], told["file"], is_hint=told["is_hint"], by=person(request)
            )
        except indicator_service.ImportRefused as refusal:
            form.add_error("file", str(refusal))
        else:
            messages.success(request, _("%(version)s is in force.") % {"version": version})
            return redirect("models_registry:indicator-list", version.indicator_list.name)
    context = {
        "form": form if may_import else None,
        "versions": [*indicator_service.in_force(hints=False), *indicator_service.in_force(hints=True)],
        "withdrawn": IndicatorList.objects.exclude(withdrawn_at=None),
    }
    return render(request, "models_registry/indicators.html", context, status=400 if form.errors else 200)


@require_safe
@role_required(*READERS)
def indicator_list(request: HttpRequest, name: str) -> HttpResponse:
    """One list: what was imported, and the newest sessions it matches."""
    found = get_object_or_404(IndicatorList, name=name)
    context: dict[str, Any] = {
        "list": found,
        "versions": found.versions.select_related("imported_by").order_by("-number")[:20],
        "may_withdraw": found.withdrawn_at is None and person(request).has_role(*STAGERS),
    }
    if not found.is_hint and found.withdrawn_at is None:
        try:
            context |= {"hits": indicator_service.newest_hits(found)}
        except OSError as error:  # the rest of the page is of use without them
            context |= {"error": error}
        context |= {"matched": indicator_service.sessions_matched(found)}
    return render(request, "models_registry/indicator_list.html", context)


@require_POST
@role_required(*STAGERS)
def withdraw_indicators(request: HttpRequest, name: str) -> HttpResponse:
    found = get_object_or_404(IndicatorList, name=name)
    if indicator_service.withdraw(found, person(request)):
        messages.success(request, _("%(name)s is out of force.") % {"name": found.name})
    return redirect("models_registry:indicators")


@require_safe
@role_required(*KEEPERS, Role.SUPPORT, Role.AUDITOR)
def customers(request: HttpRequest) -> HttpResponse:
    found = Customer.objects.prefetch_related("sites")
    context = {"customers": found, "may_add": person(request).has_role(*KEEPERS)}
    return render(request, "models_registry/customers.html", context)


@require_POST
@role_required(*KEEPERS)
def create_customer(request: HttpRequest) -> HttpResponse:
    try:
        made = customer_service.make_customer(request.POST.get("name", ""), person(request))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("Added: %(name)s.") % {"name": made})
    return redirect("models_registry:customers")


@require_POST
@role_required(*KEEPERS)
def create_site(request: HttpRequest, pk: int) -> HttpResponse:
    customer = get_object_or_404(Customer, pk=pk)
    try:
        made = customer_service.make_site(customer, request.POST.get("name", ""), person(request))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("Added: %(name)s.") % {"name": made})
    return redirect("models_registry:customers")


def _proposals(request: HttpRequest, about: Detector | None = None) -> list[dict[str, Any]]:
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


def _to_version(changed: Version) -> HttpResponse:
    return redirect("models_registry:version", changed.detector.name, changed.number)


def _facts(mapping: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what a rule mapping names, as lines of text."""
    return [
        (name.replace("_", " "), " · ".join(map(str, value)) if isinstance(value, list) else str(value))
        for name, value in mapping.items()
        if value not in (None, [], "")
    ]


def _version(name: str, number: int) -> Version:
    return get_object_or_404(
        Version.objects.select_related("detector", "training_set"), detector__name=name, number=number
    )


def _window(request: HttpRequest) -> tuple[int, datetime | None]:
    asked = request.GET.get("days", "")
    days = int(asked) if asked.isdecimal() and int(asked) in WINDOWS else 0
    return days, timezone.now() - timedelta(days=days) if days else None
