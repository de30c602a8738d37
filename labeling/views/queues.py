"""Pages of the workshop: queues, the labelling page, proof."""

from __future__ import annotations

import json
from dataclasses import replace

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import paging
from accounts.rights import person, role_required
from accounts.roles import EXPERTS, READERS, Role
from labeling.models import Item, ItemState, Queue, SavedQueue
from labeling.models.items import CELL_NAMES, REASON_NAMES
from labeling.services import (
    complaints,
    missed,
    outcomes,
    proofs,
    retraining,
    saved_queues,
)
from labeling.services import queues as queue_service
from labeling.services.filters import EVERYTHING, FilterRefused, ItemFilter, Order
from labeling.services.records import from_json
from models_registry.models import Detector, Version


@require_safe
@role_required(*READERS)
def queues(request: HttpRequest) -> HttpResponse:
    return render(
        request, "labeling/queues.html", {"loads": queue_service.loads(), "saved": saved_queues.of(person(request))}
    )


@require_safe
@role_required(*READERS)
def queue(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Queue.objects.select_related("detector"), slug=slug)
    wanted, problem, page = EVERYTHING, "", queue_service.Page([], "")
    try:
        wanted = ItemFilter.of(request.GET)
        page = queue_service.page(found, wanted, request.GET.get("after", ""))
    except FilterRefused as refusal:
        problem = str(refusal)
    context = {
        "queue": found,
        "load": queue_service.load(found),
        "wanted": wanted,
        "saved": _saved(request),
        "problem": problem,
        "states": [
            (state, title, replace(wanted, state=state).query)
            for state, title in ItemState.choices
            if state != ItemState.SEED
        ],
        "orders": Order.choices,
        "reasons": REASON_NAMES.items(),
        "cells": [(cell.value, name) for cell, name in CELL_NAMES.items()],
        "page": page,
        "blind": {shown.pk for shown in page.items if proofs.is_blind(shown, person(request))},
    }
    return render(request, "labeling/queue.html", context)


@require_safe
@role_required(*EXPERTS)
def answers(request: HttpRequest) -> HttpResponse:
    """The expert's own answers of the last week, and what became of each."""
    user = person(request)
    kind, known = request.GET.get("found", ""), paging.key_of(request.GET.get("version"))
    version = get_object_or_404(Version.objects.select_related("detector", "training_set"), pk=known) if known else None
    page = outcomes.page(user, kind, version, request.GET.get("before", ""))
    context = {
        "page": page,
        "kind": kind if kind in outcomes.KINDS else "",
        "version": version,
        "blind": {fate.label.item_id for fate in page.fates if proofs.is_blind(fate.label.item, user)},
    }
    return render(request, "labeling/answers.html", context)


@require_safe
@role_required(*READERS)
def raw_record(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Item.objects.of_sessions().select_related("record"), pk=pk)
    complaints.looked(person(request), found)
    return render(request, "labeling/_raw_record.html", {"item": found, "record": _pretty(found.record.raw)})


@require_safe
@role_required(*READERS)
def proofs_of_all(request: HttpRequest) -> HttpResponse:
    """What may be claimed about every version that customers or nobody sees yet."""
    return render(request, "labeling/proofs.html", {"claims": proofs.claims_of_all(), "target": proofs.TARGET})


@require_safe
@role_required(*READERS)
def proof(request: HttpRequest, detector: str, number: int) -> HttpResponse:
    version = get_object_or_404(
        Version.objects.select_related("detector", "training_set"), detector__name=detector, number=number
    )
    context = {"figures": proofs.figures(version), "missed": missed.share(version), "version": version}
    return render(request, "labeling/proof.html", context)


@require_POST
@role_required(Role.ENGINEER)
def retrain(request: HttpRequest, detector: str) -> HttpResponse:
    """Start the job the night would start; while one waits or runs, that one is meant."""
    found = get_object_or_404(Detector, name=detector)
    user = person(request)
    running = retraining.live(found)
    job = running or retraining.start(found, reason=f"asked for by {user}", by=user)
    told = _("It is being trained already: this is the job.") if running else _("Asked for. This is the job.")
    messages.info(request, told)
    return redirect("jobs:job", job.pk)


@require_safe
@role_required(*READERS)
def retrain_state(request: HttpRequest, detector: str) -> HttpResponse:
    """What a detector's page says about training: the job that is live, or the button."""
    found = get_object_or_404(Detector, name=detector)
    context = {
        "detector": found,
        "job": retraining.live(found),
        "new_labels": retraining.new_gate_worthy(found),
        "may_retrain": person(request).has_role(Role.ENGINEER),
    }
    return render(request, "labeling/_retrain.html", context)


def _saved(request: HttpRequest) -> SavedQueue | None:
    """Return the saved queue by whose address the reader came."""
    key = paging.key_of(request.GET.get("saved"))
    return SavedQueue.objects.select_related("owner").filter(pk=key).first() if key else None


def _pretty(raw: str) -> str:
    try:
        return json.dumps(from_json(raw), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return raw
