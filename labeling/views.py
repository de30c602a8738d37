"""Pages of the workshop: queues, the labelling page, proof."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from accounts.models import User
from accounts.rights import role_required
from accounts.roles import EXPERTS, Role
from detection.selection import Cell
from labeling import evidence
from labeling.forms import EXPIRIES, LabelForm
from labeling.models import Item, ItemState, Label, Question, Queue, ReasonCode, SavedQueue
from labeling.models.items import REASON_NAMES
from labeling.services import blind as blind_service
from labeling.services import (
    claims,
    conflicts,
    details,
    expiry,
    groups,
    labels,
    missed,
    outcomes,
    postponed,
    proofs,
    retraining,
    saved_queues,
    suggestions,
)
from labeling.services import queues as queue_service
from labeling.services.filters import EVERYTHING, FilterRefused, ItemFilter, Order
from labeling.services.records import from_json
from models_registry.models import Detector, Version

READERS = (*EXPERTS, Role.ENGINEER, Role.ADMINISTRATOR, Role.AUDITOR)


@require_safe
@role_required(*READERS)
def queues(request: HttpRequest) -> HttpResponse:
    return render(
        request, "labeling/queues.html", {"loads": queue_service.loads(), "saved": saved_queues.of(_user(request))}
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
        "cells": [cell.value for cell in Cell],
        "page": page,
        "blind": {shown.pk for shown in page.items if proofs.is_blind(shown, _user(request))},
    }
    return render(request, "labeling/queue.html", context)


@require_safe
@role_required(*EXPERTS)
def work(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Queue.objects.select_related("detector"), slug=slug)
    shown = claims.claim_next(found, _user(request), _wanted(request), arriving=True)
    return render(request, "labeling/work.html", _bench(request, found, shown))


@require_safe
@role_required(*READERS)
def item(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(claims.items(), pk=pk)
    return render(request, "labeling/work.html", _bench(request, found.queue, found))


@require_POST
@role_required(*EXPERTS)
def claim_item(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(claims.items(), pk=pk)
    claimed = claims.claim(found, _user(request))
    problem = "" if claimed else str(labels.NotHolder(found.holder))
    return _show(request, found.queue, claims.items().get(pk=pk), problem=problem, status=200 if claimed else 409)


@require_POST
@role_required(*EXPERTS)
def submit_label(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_light(), pk=pk)
    form = LabelForm(request.POST)
    if not form.is_valid():
        problem = " ".join(str(error) for errors in form.errors.values() for error in errors)
        return _show(request, found.queue, claims.items().get(pk=pk), problem=problem, status=422)
    given, expert = form.given(), _user(request)
    try:
        if form.cleaned_data["alike"]:
            label = groups.submit(found, expert, given)
        else:
            label = labels.submit(found, expert, **asdict(given))
    except details.LabelRefused as refusal:
        return _refused(request, found, refusal, form.cleaned_data["note"])
    return _next(request, found.queue, told=_told(label, found, alike=form.cleaned_data["alike"]))


def _told(label: Label, answered: Item, *, alike: bool) -> str:
    """What an expert learns of an answer on the way to the next item."""
    told = [groups.told(label)] if alike else []
    if answered.recheck_at is not None:  # only now: the new answer was blind
        told += [expiry.told(earlier) for earlier in expiry.earlier(answered)]
    return " ".join(told)


@require_safe
@role_required(*EXPERTS)
def group(request: HttpRequest, pk: int) -> HttpResponse:
    """What a group verdict on an item would do."""
    found = get_object_or_404(_light(), pk=pk)
    if not groups.may_be_group(found):
        raise PermissionDenied
    return render(request, "labeling/_alike.html", {"group": groups.preview(found, _user(request))})


@require_POST
@role_required(Role.SENIOR)
def return_item(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a disputed item back to those whose answers differ, with a question."""
    found = get_object_or_404(_light(), pk=pk)
    text = request.POST.get("question", "")
    try:
        conflicts.return_item(found, _user(request), text)
    except details.LabelRefused as refusal:
        return _refused(request, found, refusal, text)
    return _next(request, found.queue)


@require_POST
@role_required(*EXPERTS)
def skip_item(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_light(), pk=pk)
    if not claims.skip(found, _user(request)):
        return _refused(request, found, labels.NotHolder(found.holder))
    return _next(request, found.queue)


@require_POST
@role_required(*EXPERTS)
def postpone_item(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_light(), pk=pk)
    choice = request.POST.get("until", "")
    if choice not in dict(postponed.CHOICES):
        return HttpResponseBadRequest()
    if not postponed.postpone(found, _user(request), choice):
        return _refused(request, found, labels.NotHolder(found.holder))
    return _next(request, found.queue, told=_("Postponed: it comes back to you. Your postponed items are on a page."))


@require_safe
@role_required(*EXPERTS)
def postponed_items(request: HttpRequest) -> HttpResponse:
    return render(request, "labeling/postponed.html", {"skips": postponed.waiting(_user(request))})


@require_POST
@role_required(*EXPERTS)
def take_back_item(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_light(), pk=pk)
    if not postponed.take_back(found, _user(request)):
        messages.error(request, _("Somebody else holds this item, or it is settled."))
    return redirect("labeling:item", pk)


@require_POST
@role_required(*EXPERTS)
def release_item(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_light(), pk=pk)
    claims.release(found, _user(request))
    # which queue a drawn session came from is nobody's to know
    url = reverse("labeling:queues") if found.is_proof else reverse("labeling:queue", args=[found.queue.slug])
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)  # type: ignore[attr-defined]


@require_POST
@role_required(*EXPERTS)
def renew_claim(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_light(), pk=pk)
    renewed = claims.renew(found, _user(request))
    return render(request, "labeling/_lease.html", {"item": found, "lost": not renewed}, status=200 if renewed else 409)


@require_POST
@role_required(*EXPERTS)
def undo_label(request: HttpRequest) -> HttpResponse:
    """Withdraw the newest answer and bring its item back; the item on screen goes back to the queue."""
    expert = _user(request)
    on_screen = _on_screen(request)
    try:
        undone = labels.undo(expert)
    except labels.UndoOfMany as refusal:
        url = reverse("labeling:bulk-verdict", args=[refusal.bulk.pk])
        return HttpResponseClientRedirect(url) if request.htmx else redirect(url)  # type: ignore[attr-defined]
    except labels.UndoRefused as refusal:
        return _stay(request, on_screen, str(refusal), 409)
    if undone is None:
        return _stay(request, on_screen, _("There is nothing of today to undo."), 409)
    if on_screen and on_screen.pk != undone.item.pk:
        claims.release(on_screen, expert)
    claims.claim(undone.item, expert)
    reopened = claims.items().get(pk=undone.item.pk)
    return _show(request, reopened.queue, reopened, told=undone.told)


@require_POST
@role_required(*EXPERTS)
def undo_one(request: HttpRequest, pk: int) -> HttpResponse:
    """Withdraw one of one's newest answers, with all that was inherited from it."""
    label = get_object_or_404(Label, pk=pk)
    try:
        undone = labels.undo(_user(request), label)
    except labels.UndoRefused as refusal:
        messages.error(request, str(refusal))
    else:
        late = _("Only your own newest %(n)s answers can be undone, and for 12 hours.") % {"n": labels.UNDOABLE}
        messages.info(request, undone.told if undone else late)
    return redirect("labeling:answers")


@require_safe
@role_required(*EXPERTS)
def answers(request: HttpRequest) -> HttpResponse:
    """The expert's own answers of the last week, and what became of each."""
    user = _user(request)
    kind, known = request.GET.get("found", ""), request.GET.get("version", "")
    version = (
        get_object_or_404(Version.objects.select_related("detector", "training_set"), pk=int(known))
        if known.isdecimal() and len(known) < 19
        else None
    )
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
    found = get_object_or_404(Item.objects.select_related("record"), pk=pk)
    return render(request, "labeling/_raw_record.html", {"item": found, "record": _pretty(found.record.raw)})


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
    user = _user(request)
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
        "may_retrain": _user(request).has_role(Role.ENGINEER),
    }
    return render(request, "labeling/_retrain.html", context)


def _light() -> QuerySet[Item]:
    """Items without the record that only a page reads."""
    return Item.objects.select_related("queue__detector", "claimed_by")


def _next(request: HttpRequest, from_queue: Queue, told: str = "") -> HttpResponse:
    """Answer with the next item: no second request, no waiting."""
    wanted = _wanted(request)
    if not request.htmx:  # type: ignore[attr-defined]
        if told:
            messages.info(request, told)
        return redirect(reverse("labeling:work", args=[from_queue.slug]) + _asked(wanted))
    return _show(request, from_queue, claims.claim_next(from_queue, _user(request), wanted), told=told)


def _show(
    request: HttpRequest, in_queue: Queue, shown: Item | None, *, problem: str = "", told: str = "", status: int = 200
) -> HttpResponse:
    template = "labeling/_workbench.html" if request.htmx else "labeling/work.html"  # type: ignore[attr-defined]
    context = _bench(request, in_queue, shown) | {"problem": problem, "told": told}
    return render(request, template, context, status=status)


def _refused(request: HttpRequest, found: Item, refusal: details.LabelRefused, note: str = "") -> HttpResponse:
    """Answer 409 with the reason and what was written, so that nothing is lost."""
    template = "labeling/_refused.html" if request.htmx else "labeling/refused.html"  # type: ignore[attr-defined]
    context = {"item": found, "queue": found.queue, "refusal": refusal, "note": note}
    return render(request, template, context, status=409)


def _stay(request: HttpRequest, on_screen: Item | None, problem: str, status: int) -> HttpResponse:
    if on_screen is None:
        in_queue = Queue.objects.select_related("detector").filter(slug=request.POST.get("queue", "")).first()
        if in_queue is None:
            return redirect("labeling:queues")
        return _show(request, in_queue, None, problem=problem, status=status)
    return _show(request, on_screen.queue, on_screen, problem=problem, status=status)


def _bench(request: HttpRequest, in_queue: Queue, shown: Item | None) -> dict[str, Any]:
    """Return what the labelling page shows."""
    user = _user(request)
    context: dict[str, Any] = {
        "queue": in_queue,
        "item": shown,
        "load": queue_service.Load(in_queue),
        "asked": _asked(_wanted(request)),
        "answered_today": labels.answered_today(user) if user.has_role(*EXPERTS) else None,
    }
    if shown is None:
        return context
    held = shown.claimed_by_id == user.pk and shown.holder is not None
    blind, hidden = blind_service.hides_evidence(shown, user), blind_service.hides_answers(shown, user)
    return context | {
        "blind": blind,
        "asks_reason": shown.flagged and not shown.is_proof,  # it would tell what the model said
        "evidence": evidence.Evidence(shown),
        "held": held,
        "may_claim": not held and shown.holder is None and claims.may_claim(shown, user),
        "answers": [] if blind else _answers(shown, user, hidden),
        "suggestions": [] if hidden else suggestions.of_item(shown),
        **({} if blind else _dispute(shown, user)),
        "reasons": list(enumerate(ReasonCode.choices, start=1)),
        "default_reason": ReasonCode.OTHER.value,
        "families": details.families(shown.detector) if held else [],
        "expiries": EXPIRIES,
        "postpone": list(enumerate(postponed.CHOICES, start=1)),
        "may_be_group": groups.may_be_group(shown),
    }


def _saved(request: HttpRequest) -> SavedQueue | None:
    """Return the saved queue by whose address the reader came."""
    named = request.GET.get("saved", "")
    if not named.isdecimal() or len(named) > 18:
        return None
    return SavedQueue.objects.select_related("owner").filter(pk=int(named)).first()


def _wanted(request: HttpRequest) -> ItemFilter:
    """Return which items the person works on: what the address says."""
    try:
        return ItemFilter.of(request.GET)
    except FilterRefused as refusal:  # no page of ours writes such an address
        raise BadRequest(str(refusal)) from None


def _asked(wanted: ItemFilter) -> str:
    """Return what to write after an address, so that the next item is one of the same kind."""
    return f"?{wanted.query}" if wanted.query else ""


def _answers(shown: Item, user: User, hidden: bool) -> list[Label]:
    """Return the answers this user may see: a second opinion is worth nothing once the first one was read."""
    found = Label.objects.current().filter(item=shown).select_related("expert", "adjudication").order_by("pk")
    return list(found.filter(expert=user) if hidden else found)


def _dispute(shown: Item, user: User) -> dict[str, Any]:
    """Return what the labelling page tells of answers that differ, or differed."""
    if shown.state == ItemState.OPEN:
        return {}
    return {
        "question": Question.objects.filter(item=shown).select_related("by").first(),
        "may_return": conflicts.may_return(shown, user) if shown.state == ItemState.CONFLICT else False,
    }


def _pretty(raw: str) -> str:
    try:
        return json.dumps(from_json(raw), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return raw


def _on_screen(request: HttpRequest) -> Item | None:
    named = request.POST.get("item", "")
    return claims.items().filter(pk=int(named)).first() if named.isdecimal() and len(named) < 19 else None


def _user(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user
