"""Home page, health, complaints."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import EVERYBODY, Role
from models_registry.models import Customer
from models_registry.services import boards
from models_registry.services.scoring import ScoreMismatch
from triage.examples import examples
from triage.forms import ComplaintForm, FlaggedForm
from triage.models import Complaint, State
from triage.services import complaints as services
from triage.services import health as health_services
from triage.services import home as home_services
from triage.services import search as search_services
from triage.services.flagged import CannotScore

READERS = (Role.EXPERT, Role.SENIOR, Role.ENGINEER, Role.ADMINISTRATOR, Role.AUDITOR)  # of health


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


@require_safe
@role_required(*EVERYBODY)
def complaints(request: HttpRequest) -> HttpResponse:
    answered, before = services.answered_page(request.GET.get("before", ""))
    first = not request.GET.get("before")
    context = {
        "waiting": _with_clocks(services.unanswered()) if first else [],
        "answered": _with_clocks(answered),
        "before": before,
        "first": first,
    }
    return render(request, "triage/complaints.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.SUPPORT)
def file_complaint(request: HttpRequest) -> HttpResponse:
    form = ComplaintForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            filed = services.file(
                given["customer"], given["flagged"], given["contact"], person(request), form.details()
            )
        except (CannotScore, services.ComplaintRefused) as refusal:
            form.add_error("flagged" if isinstance(refusal, CannotScore) else None, str(refusal))
        else:
            messages.success(request, _("%(number)s is filed and due in 24 hours.") % {"number": filed.number})
            return redirect("triage:complaint", filed.pk)
    context = {"form": form, "has_customers": Customer.objects.exists(), "has_bundle": services.newest_bundle()}
    return render(request, "triage/file_complaint.html", context, status=400 if form.errors else 200)


@require_POST
@role_required(Role.SUPPORT)
def preview_complaint(request: HttpRequest) -> HttpResponse:
    """What the bundle says of what was pasted, before anything is filed."""
    form = FlaggedForm(request.POST)
    if not form.is_valid():
        return render(request, "triage/_preview.html", {})
    details = form.details()
    try:
        scored, said = services.preview(form.cleaned_data["flagged"], details)
    except CannotScore as refusal:
        return render(request, "triage/_preview.html", {"problem": refusal})
    context = {"scored": scored, "said": said, "reproduced": scored.reproduces(said, details.score_told)}
    return render(request, "triage/_preview.html", context)


@require_safe
@role_required(*EVERYBODY)
def complaint(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "triage/complaint.html", _page_of(_complaint(pk)))


@require_safe
@role_required(*EVERYBODY)
def flips(request: HttpRequest, pk: int) -> HttpResponse:
    """How many other verdicts the fixing candidate turns, counted over what is stored."""
    found = _complaint(pk)
    fix = services.first(found.states.select_related("version__detector"), State.FIX_IN_CANDIDATE)
    context: dict[str, Any] = {"complaint": found, "fix": fix}
    if fix is not None and fix.version is not None:
        try:
            context["comparison"] = boards.compare(found.version, fix.version)
        except (OSError, ScoreMismatch) as error:
            context["error"] = error
    return render(request, "triage/_flips.html", context)


@require_POST
@role_required(Role.SUPPORT)
def add_information(request: HttpRequest, pk: int) -> HttpResponse:
    text, pasted = request.POST.get("information", ""), request.POST.get("flagged", "")
    return _do(request, pk, lambda found: services.add_information(found, text, person(request), pasted))


@require_POST
@role_required(Role.ENGINEER)
def publish_fix(request: HttpRequest, pk: int) -> HttpResponse:
    return _do(request, pk, lambda found: services.publish(found, person(request)))


@require_POST
@role_required(Role.SUPPORT)
def tell_customer(request: HttpRequest, pk: int) -> HttpResponse:
    return _do(request, pk, lambda found: services.tell(found, request.POST.get("answer", ""), person(request)))


def _do(request: HttpRequest, pk: int, verb: Any) -> HttpResponse:
    """Do one thing to a complaint; a refusal keeps what was written on the page."""
    found = _complaint(pk)
    try:
        verb(found)
    except (CannotScore, services.ComplaintRefused) as refusal:
        context = _page_of(found) | {"problem": refusal, "written": request.POST}
        return render(request, "triage/complaint.html", context, status=409)
    messages.success(request, _("Done: %(number)s.") % {"number": found.number})
    return redirect("triage:complaint", pk)


def _complaint(pk: int) -> Any:
    related = ("customer", "site", "detector", "bundle", "version__detector", "filed_by")
    return get_object_or_404(Complaint.objects.with_state().select_related(*related), pk=pk)


def _page_of(found: Any) -> dict[str, Any]:
    states = list(found.states.select_related("by", "version__detector", "bundle", "item__queue"))
    fix = services.first(states, State.FIX_IN_CANDIDATE)
    version = fix.version if fix else None
    return {
        "complaint": found,
        "states": states,
        "line": services.line(states),
        "reading": services.reading(found),
        "notices": list(found.notices.all()),
        "fix": fix,
        "gate": version.gate_reports.order_by("-id").first() if version else None,
        "proposals": version.proposals.waiting().count() if version else 0,
        "in_bundle": services.first(states, State.FIXED_IN_BUNDLE),
        "rejected": services.first(states, State.REJECTED),
        "items": [step.item for step in states if step.item],
        "look_alikes": services.look_alikes(found),
    }


def _with_clocks(found: list[Any]) -> list[dict[str, Any]]:
    return [
        {"complaint": one, "reading": services.reading(one), "state": State(one.state).label if one.state else ""}
        for one in found
    ]
