"""Verdict diffs: what a version would change for customers, look by look, and two buttons."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts.rights import person, role_required
from accounts.roles import EXPERTS, Role
from labeling.services import diffs as diff_service
from labeling.services import gating
from labeling.views.queues import READERS
from models_registry.models import VerdictDiff, Version
from models_registry.services import diffs
from models_registry.services.diffs import ReviewRefused

SHOWN = 5  # sessions of a group that are linked


@require_safe
@role_required(*READERS)
def verdict_diff(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(VerdictDiff.objects.select_related("version__detector", "against__detector"), pk=pk)
    groups = diffs.groups_of(found)
    context = {
        "diff": found,
        "groups": [(one, one.group.rids[:SHOWN]) for one in groups],
        "waiting": sum(one.review is None for one in groups),
        "may_review": person(request).has_role(*EXPERTS),
    }
    return render(request, "labeling/verdict_diff.html", context)


@require_POST
@role_required(*EXPERTS)
def review_diff(request: HttpRequest, pk: int) -> HttpResponse:
    """Accept the groups that were ticked, or have them labelled."""
    found = get_object_or_404(VerdictDiff.objects.select_related("version__detector"), pk=pk)
    ticked = [int(one) for one in request.POST.getlist("group") if one.isdecimal() and len(one) < 9]
    try:
        if request.POST.get("outcome") == diff_service.Outcome.LABEL:
            done = diff_service.label_now(found, ticked, person(request))
            told = ngettext("%(n)s look sent to experts.", "%(n)s looks sent to experts.", done)
        else:
            done = diff_service.accept(found, ticked, person(request), request.POST.get("note", ""))
            told = ngettext("%(n)s look accepted.", "%(n)s looks accepted.", done)
    except ReviewRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, told % {"n": done})
    return redirect("labeling:verdict-diff", pk)


@require_POST
@role_required(Role.ENGINEER, Role.SENIOR)
def run_gate(request: HttpRequest, detector: str, number: int) -> HttpResponse:
    """Ask the gate as the night would; while a job is at it, that one is meant."""
    version = get_object_or_404(Version.objects.select_related("detector"), detector__name=detector, number=number)
    threshold = _threshold(request.POST.get("threshold", ""))
    job = gating.start(version, version.threshold if threshold is None else threshold, by=person(request))
    messages.info(request, _("Asked for. This is the job."))
    return redirect("jobs:job", job.pk)


def _threshold(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 < value < 1.0 else None
