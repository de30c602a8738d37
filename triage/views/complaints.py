"""Complaints: list, filing, one complaint, and every step of it. Only of customers the reader works for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts import paging
from accounts.models import User
from accounts.rights import person, role_required
from accounts.roles import EVERYBODY, Role
from models_registry.models import Bundle
from models_registry.services import boards
from models_registry.services.scoring import ScoreMismatch
from traffic import storage
from triage.forms import ComplaintForm, FlaggedForm
from triage.models import Attachment, Complaint, State
from triage.services import complaints as services
from triage.services import consent, filing, fixes, lists, served, stopgaps, templates, told_kits
from triage.services.reproduction import CannotScore
from triage.services.states import ComplaintRefused

# of a step, as its page tells it: rows of versions, bundles and items are long
_STEP = (
    "state", "reason", "at", "complaint", "by__username", "version__number", "version__stage",
    "version__detector__name", "bundle__digest", "item__title",
)  # fmt: skip
_LONG = ("version__report", "version__parameters", "bundle__metadata", "bundle__config")
UNDECIDED = (State.RECEIVED, State.REPRODUCED, State.NEEDS_INFORMATION)
STUDENTS = (Role.EXPERT, Role.SENIOR, Role.SUPPORT, Role.ENGINEER)  # who may open what a customer sent


@require_safe
@role_required(*EVERYBODY)
def complaints(request: HttpRequest) -> HttpResponse:
    reader, asked = person(request), lists.wanted(request.GET)
    answered, before = lists.answered_page(reader, request.GET.get("before", ""), asked)
    first = not request.GET.get("before")
    query = request.GET.copy()
    query.pop("before", None)
    context = {
        "waiting": lists.unanswered(reader, asked) if first else [],
        "answered": answered,
        "before": before,
        "first": first,
        "most": lists.PAGE,
        "asked": asked,
        "query": query.urlencode(),
        "states": State.choices,
        "customers": served.customers_of(reader),
    }
    return render(request, "triage/complaints.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(Role.SUPPORT)
def file_complaint(request: HttpRequest) -> HttpResponse:
    reader = person(request)
    form = ComplaintForm(request.POST or None, request.FILES or None, reader=reader)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        try:
            filed = filing.file(given["customer"], given["flagged"], given["contact"], reader, form.details())
        except ComplaintRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, _("%(number)s is filed.") % {"number": filed.number})
            return redirect("triage:complaint", filed.pk)
    has_customers = served.customers_of(reader).exists()
    context = {"form": form, "has_customers": has_customers, "has_bundle": Bundle.objects.exists()}
    return render(request, "triage/file_complaint.html", context, status=400 if form.errors else 200)


@require_POST
@role_required(Role.SUPPORT)
def preview_complaint(request: HttpRequest) -> HttpResponse:
    """What the bundle says of what was pasted, before anything is filed."""
    form = FlaggedForm(request.POST, request.FILES)
    if not form.is_valid() or not (form.cleaned_data["flagged"].strip() or form.cleaned_data["files"]):
        return render(request, "triage/_preview.html", {})
    details = form.details()
    chosen = paging.key_of(request.POST.get("customer"))
    customer = served.customers_of(person(request)).filter(pk=chosen).first() if chosen else None
    try:
        scored, said = filing.preview(form.cleaned_data["flagged"], details, customer)
    except CannotScore as refusal:
        return render(request, "triage/_preview.html", {"problem": refusal})
    context = {"scored": scored, "said": said, "reproduced": scored.reproduces(said, details.score_told)}
    return render(request, "triage/_preview.html", context)


@require_safe
@role_required(*EVERYBODY)
def complaint(request: HttpRequest, pk: int) -> HttpResponse:
    reader = person(request)
    found = visible(reader, pk)
    served.looked(reader, found)
    return render(request, "triage/complaint.html", _page_of(found, reader))


@require_safe
@role_required(*STUDENTS)
def attachment(request: HttpRequest, pk: int) -> HttpResponseBase:
    """A file of a customer, as bytes to keep: never shown, never run by a browser."""
    found = get_object_or_404(Attachment.objects.exclude(path=""), pk=pk)
    reader = person(request)
    about = visible(reader, found.complaint_id)
    served.looked(reader, about, f"attachment {found.digest[:12]}")
    try:
        data = storage.open_input(found.path)
    except FileNotFoundError:
        raise Http404 from None
    return FileResponse(
        data,
        as_attachment=True,
        filename=f"{about.number}-{found.digest[:12]}.bin",
        content_type="application/octet-stream",
    )


@require_safe
@role_required(*EVERYBODY)
def flips(request: HttpRequest, pk: int) -> HttpResponse:
    """How many other verdicts the fixing candidate turns, counted over what is stored."""
    found = visible(person(request), pk)
    fix = lists.first(found.states.select_related("version__detector"), State.FIX_IN_CANDIDATE)
    context: dict[str, Any] = {"complaint": found, "fix": fix}
    if fix is not None and fix.version is not None and found.version is not None:
        try:
            context["comparison"] = boards.compare(found.version, fix.version)
        except (OSError, ScoreMismatch) as error:
            context["error"] = error
    return render(request, "triage/_flips.html", context)


@require_safe
@role_required(*EVERYBODY)
def stop_gaps(request: HttpRequest, pk: int) -> HttpResponse:
    """What could be done before the fix, and what each would cost."""
    found = visible(person(request), pk)
    context = {"complaint": found, "stopgaps": stopgaps.of(found), "tries": fixes.tries(found)}
    return render(request, "triage/_stopgaps.html", context | {"dial": stopgaps.above(found)})


@require_POST
@role_required(Role.ENGINEER)
def build_stop_gap(request: HttpRequest, pk: int) -> HttpResponse:
    how = request.POST.get("how", "")
    return _do(request, pk, lambda found, by: stopgaps.build(found, how, by))


@require_POST
@role_required(Role.SUPPORT)
def ask_customer(request: HttpRequest, pk: int) -> HttpResponse:
    template, text = request.POST.get("template", ""), request.POST.get("text", "")
    known = template if template in ("ask-evidence", "ask-consent") else "ask-evidence"
    return _do(request, pk, lambda found, by: filing.ask(found, known, by, text))


@require_POST
@role_required(Role.SUPPORT)
def add_information(request: HttpRequest, pk: int) -> HttpResponse:
    text, pasted = request.POST.get("information", ""), request.POST.get("flagged", "")
    form = FlaggedForm({}, request.FILES)
    files = form.details().files if form.is_valid() else ()
    return _do(request, pk, lambda found, by: filing.add_information(found, text, by, pasted, files))


@require_POST
@role_required(Role.SUPPORT)
def reject_complaint(request: HttpRequest, pk: int) -> HttpResponse:
    return _do(request, pk, lambda found, by: services.reject(found, request.POST.get("reason", ""), by))


@require_POST
@role_required(Role.SUPPORT)
def tell_customer(request: HttpRequest, pk: int) -> HttpResponse:
    return _do(request, pk, lambda found, by: services.tell(found, request.POST.get("answer", ""), by))


@require_POST
@role_required(Role.SUPPORT, Role.ADMINISTRATOR)
def erase_complaint(request: HttpRequest, pk: int) -> HttpResponse:
    return _do(request, pk, lambda found, by: consent.withdraw(found, request.POST.get("reason", ""), by))


def _do(request: HttpRequest, pk: int, verb: Callable[[Complaint, User], Any]) -> HttpResponse:
    """Do one thing to a complaint; a refusal keeps what was written on the page."""
    reader = person(request)
    found = visible(reader, pk)
    try:
        verb(found, reader)
    except (CannotScore, ComplaintRefused, stopgaps.NoStopGap) as refusal:
        context = _page_of(visible(reader, pk), reader) | {"problem": refusal, "written": request.POST}
        return render(request, "triage/complaint.html", context, status=409)
    messages.success(request, _("Done: %(number)s.") % {"number": found.number})
    return redirect("triage:complaint", pk)


def visible(reader: User, pk: int) -> Complaint:
    """Return a complaint that its reader may see; to others it does not exist."""
    found = Complaint.objects.visible_to(reader).listed().select_related("version__detector", "case")
    return get_object_or_404(found.defer("version__report", "version__parameters"), pk=pk)


def _page_of(found: Complaint, reader: User) -> dict[str, Any]:
    states = list(found.states.select_related("by", "version__detector", "bundle", "item").only(*_STEP))
    fix = lists.first(states, State.FIX_IN_CANDIDATE)
    version = fix.version if fix else None
    in_bundle = lists.first(states, State.FIXED_IN_BUNDLE)
    bundle = in_bundle.bundle if in_bundle else None
    in_force = fixes.in_force(found) if bundle else None
    attachments = list(found.attachments.select_related("appliance__site__customer"))
    return {
        "complaint": found,
        "states": states,
        "line": lists.line(states),
        "reading": found.reading,
        "notices": list(found.deadline.notices.all()),
        "reproductions": list(found.reproductions.select_related("version__detector", "bundle").defer(*_LONG)),
        "attachments": attachments,
        "kit": told_kits.newest(found, attachments),
        "thread": list(found.messages.select_related("by")),
        "templates": templates.offered(found, states),
        "fix": fix,
        "gate": version.gate_reports.order_by("-id").first() if version else None,
        "proposals": version.proposals.waiting().count() if version else 0,
        "in_bundle": in_bundle,
        "in_force": in_force,
        "way_out": fixes.way_out(bundle, found.customer) if bundle and not in_force else None,
        "already": fixes.already(found) if found.state in UNDECIDED else None,
        "tries": fixes.tries(found) if found.state == State.CONFIRMED and not fix else [],
        "rejected": lists.first(states, State.REJECTED),
        "items": list({step.item.pk: step.item for step in states if step.item}.values()),
        "others": lists.alike(found, reader),
        "may_open_files": reader.has_role(*STUDENTS),
    }
