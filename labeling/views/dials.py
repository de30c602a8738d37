"""The threshold dial: a line to drag over the scores, and what each place would mean; a form without scripts."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.rights import person, role_required
from accounts.roles import Role
from labeling.charts import dial_rows, dial_x
from labeling.services import dials, gating
from labeling.views.queues import READERS
from models_registry.models import ThresholdProposal, Version
from models_registry.services import dials as proposals
from models_registry.services import two_people
from models_registry.services.dials import Dial
from models_registry.services.two_people import ChangeRefused

STAGERS = (Role.ENGINEER, Role.SENIOR)
LONGEST_NAME = 32  # of a marked score


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody set the dial to."""

    threshold: float
    false_positive_cost: float
    miss_cost: float

    @classmethod
    def of(cls, told: Any, version: Version) -> Asked:
        threshold = _number(told.get("threshold"), version.threshold)
        return cls(
            threshold if threshold < 1.0 else version.threshold,
            _number(told.get("false_positive_cost"), version.detector.false_positive_cost),
            _number(told.get("miss_cost"), 1.0),
        )


@dataclass(frozen=True, slots=True)
class Marked:
    """A score that somebody came to see: of a complaint."""

    title: str
    x: float

    @classmethod
    def of(cls, told: Any, found: Dial) -> Marked | None:
        score = _number(told.get("score"), 0.0)
        if not 0.0 < score < 1.0:
            return None
        below = [place for place, step in enumerate(found.steps) if step.threshold <= score]
        title = f"{told.get('of', '')[:LONGEST_NAME]} {score:.6g}".strip()
        return cls(title, dial_x(below[-1] if below else -1, len(found.steps)))


@require_http_methods(["GET", "HEAD", "POST"])
@role_required(*READERS)
def dial(request: HttpRequest, detector: str, number: int) -> HttpResponse:
    """The dial; POST proposes the threshold it stands at."""
    version = get_object_or_404(
        Version.objects.select_related("detector", "training_set"), detector__name=detector, number=number
    )
    asked = Asked.of(request.POST if request.method == "POST" else request.GET, version)
    found = dials.dial_of(
        version, false_positive_cost=asked.false_positive_cost, miss_cost=asked.miss_cost, also=asked.threshold
    )
    step = found.nearest(asked.threshold)
    if request.method == "POST":
        return _propose(request, version, step, asked)
    may_change = person(request).has_role(*STAGERS)
    context = {
        "version": version,
        "dial": found,
        "asked": asked,
        "step": step,
        "place": (place := found.steps.index(step)),
        "line": dial_x(place, len(found.steps)),
        "last": len(found.steps) - 1,
        "marked": Marked.of(request.GET, found),
        "rows": dial_rows(found),
        "steps": json.dumps([one.to_dict() for one in found.steps], separators=(",", ":")),
        "may_change": may_change,
        "waiting": [
            (one, two_people.may_approve(one, person(request)), may_change) for one in proposals.waiting(version)
        ],
        "approved": proposals.approved(version),
    }
    return render(request, "labeling/dial.html", context)


def _propose(request: HttpRequest, version: Version, step: Any, asked: Asked) -> HttpResponse:
    try:
        proposal = proposals.propose(
            version,
            step,
            person(request),
            false_positive_cost=asked.false_positive_cost,
            miss_cost=asked.miss_cost,
            reason=request.POST.get("reason", ""),
        )
    except ChangeRefused as refusal:
        messages.error(request, str(refusal))
    else:
        partner = two_people.PARTNER[Role(proposal.role)].label
        messages.success(request, _("Proposed. It needs: %(partner)s.") % {"partner": partner})
    return redirect("labeling:dial", version.detector.name, version.number)


@require_POST
@role_required(*STAGERS)
def decide_threshold(request: HttpRequest, pk: int) -> HttpResponse:
    """Approve or decline a proposal; an approved threshold goes to the gate."""
    asked = get_object_or_404(ThresholdProposal.objects.select_related("version__detector", "by"), pk=pk)
    user = person(request)
    try:
        decision = proposals.decide(
            asked, user, approve=request.POST.get("outcome") == "approved", reason=request.POST.get("reason", "")
        )
    except ChangeRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"{asked}: {decision.get_outcome_display()}")
        if decision.outcome == decision.Outcome.APPROVED:
            gating.start(asked.version, asked.threshold, by=user)
    return redirect("labeling:dial", asked.version.detector.name, asked.version.number)


def _number(text: str | None, otherwise: float) -> float:
    try:
        value = float(text or "")
    except ValueError:
        return otherwise
    return value if math.isfinite(value) and value > 0.0 else otherwise
