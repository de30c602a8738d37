"""The labelling page: the next item, the keys that answer it, and who holds it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect

from accounts import paging
from accounts.models import User
from accounts.rights import person, role_required
from accounts.roles import EXPERTS, READERS, Role
from labeling import evidence
from labeling.drawing import lease
from labeling.forms import FormRefused, Word
from labeling.models import Item, ItemState, Label, Question, Queue
from labeling.services import blind as blind_service
from labeling.services import (
    claims,
    complaints,
    conflicts,
    cycle,
    details,
    expiry,
    groups,
    labels,
    postponed,
    suggestions,
)
from labeling.services import queues as queue_service
from labeling.services.filters import FilterRefused, ItemFilter


@require_safe
@role_required(*EXPERTS)
def work(request: HttpRequest, slug: str) -> HttpResponse:
    found = get_object_or_404(Queue.objects.select_related("detector"), slug=slug)
    shown = claims.claim_next(found, person(request), _wanted(request), arriving=True)
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
    claimed = claims.claim(found, person(request))
    problem = "" if claimed else str(labels.NotHolder(found.holder))
    return _show(request, found.queue, claims.items().get(pk=pk), problem=problem, status=200 if claimed else 409)


@require_POST
@role_required(Role.SENIOR)
def take_over_item(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an item from whoever holds it: somebody fell ill, or a customer waits."""
    found, senior = get_object_or_404(_light(), pk=pk), person(request)
    try:
        holder = claims.take_over(found, senior)
    except PermissionError:
        raise PermissionDenied from None
    shown = claims.items().get(pk=pk)
    told = _("You took this item over from %(holder)s, who is told so.") % {"holder": holder} if holder else ""
    return _show(request, shown.queue, shown, told=told, status=200 if holder else 409)


@require_POST
@role_required(*EXPERTS)
def submit_label(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer with the next item: no second request, no waiting."""
    wanted = _wanted(request)
    try:
        word = Word.of(request.POST)
    except FormRefused as refusal:
        found = get_object_or_404(claims.items(), pk=pk)
        return _show(request, found.queue, found, problem=str(refusal), status=422)
    answer = cycle.answer_alike if word.alike else cycle.answer
    try:
        turn = answer(pk, person(request), word.given, wanted)
    except Item.DoesNotExist:
        raise Http404 from None
    except details.LabelRefused as refusal:
        return _refused(request, get_object_or_404(_light(), pk=pk), refusal, word.given.note)
    told = _told(turn, alike=word.alike)
    if not request.htmx:  # type: ignore[attr-defined]
        return _to_work(request, turn.answered.queue, told)
    return _show(request, turn.answered.queue, turn.following, told=told, today=turn.today)


def _told(turn: cycle.Turn, *, alike: bool) -> str:
    """What an expert learns of an answer on the way to the next item."""
    told = [groups.told(turn.label)] if alike else []
    if turn.answered.recheck_at is not None:  # only now: the new answer was blind
        told += [expiry.told(earlier) for earlier in expiry.earlier(turn.answered)]
    return " ".join(told)


@require_safe
@role_required(*EXPERTS)
def group(request: HttpRequest, pk: int) -> HttpResponse:
    """What a group verdict on an item would do."""
    found = get_object_or_404(_light(), pk=pk)
    if not groups.may_be_group(found):
        raise PermissionDenied
    return render(request, "labeling/_alike.html", {"group": groups.preview(found, person(request))})


@require_POST
@role_required(Role.SENIOR)
def return_item(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a disputed item back to those whose answers differ, with a question."""
    found = get_object_or_404(_light(), pk=pk)
    text = request.POST.get("question", "")
    try:
        conflicts.return_item(found, person(request), text)
    except details.LabelRefused as refusal:
        return _refused(request, found, refusal, text)
    return _next(request, found.queue)


@require_POST
@role_required(*EXPERTS)
def skip_item(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_light(), pk=pk)
    if not claims.skip(found, person(request)):
        return _refused(request, found, labels.NotHolder(found.holder))
    return _next(request, found.queue)


@require_POST
@role_required(*EXPERTS)
def postpone_item(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_light(), pk=pk)
    choice = request.POST.get("until", "")
    if choice not in dict(postponed.CHOICES):
        return HttpResponseBadRequest()
    if not postponed.postpone(found, person(request), choice):
        return _refused(request, found, labels.NotHolder(found.holder))
    return _next(request, found.queue, told=_("Postponed: it comes back to you. Your postponed items are on a page."))


@require_safe
@role_required(*EXPERTS)
def postponed_items(request: HttpRequest) -> HttpResponse:
    return render(request, "labeling/postponed.html", {"skips": postponed.waiting(person(request))})


@require_POST
@role_required(*EXPERTS)
def take_back_item(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_light(), pk=pk)
    if not postponed.take_back(found, person(request)):
        messages.error(request, _("Somebody else holds this item, or it is settled."))
    return redirect("labeling:item", pk)


@require_POST
@role_required(*EXPERTS)
def release_item(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_light(), pk=pk)
    claims.release(found, person(request))
    # which queue a drawn session came from is nobody's to know
    url = reverse("labeling:queues") if found.is_proof else reverse("labeling:queue", args=[found.queue.slug])
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)  # type: ignore[attr-defined]


@require_POST
@role_required(*EXPERTS)
def renew_claim(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(_light(), pk=pk)
    renewed = claims.renew(found, person(request))
    context = {"item_number": pk, "lost": not renewed, "holder": None if renewed else found.holder, **lease(found)}
    return render(request, "labeling/_lease.html", context, status=200 if renewed else 409)


@require_POST
@role_required(*EXPERTS)
def undo_label(request: HttpRequest) -> HttpResponse:
    """Withdraw the newest answer and bring its item back; the item on screen goes back to the queue."""
    expert = person(request)
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
        undone = labels.undo(person(request), label)
    except labels.UndoRefused as refusal:
        messages.error(request, str(refusal))
    else:
        late = _("Only your own newest %(n)s answers can be undone, and for 12 hours.") % {"n": labels.UNDOABLE}
        messages.info(request, undone.told if undone else late)
    return redirect("labeling:answers")


def _light() -> QuerySet[Item]:
    """Items without the record that only a page reads."""
    return Item.objects.select_related("queue__detector", "claimed_by")


def _next(request: HttpRequest, from_queue: Queue, told: str = "") -> HttpResponse:
    """Show the next item."""
    if not request.htmx:  # type: ignore[attr-defined]
        return _to_work(request, from_queue, told)
    return _show(request, from_queue, claims.claim_next(from_queue, person(request), _wanted(request)), told=told)


def _to_work(request: HttpRequest, in_queue: Queue, told: str) -> HttpResponse:
    """Send a browser without scripts to the item it holds now."""
    if told:
        messages.info(request, told)
    return redirect(reverse("labeling:work", args=[in_queue.slug]) + _asked(_wanted(request)))


def _show(
    request: HttpRequest,
    in_queue: Queue,
    shown: Item | None,
    *,
    problem: str = "",
    told: str = "",
    status: int = 200,
    today: int | None = None,
) -> HttpResponse:
    context = _bench(request, in_queue, shown, today) | {"problem": problem, "told": told}
    if not request.htmx:  # type: ignore[attr-defined]
        return render(request, "labeling/work.html", context, status=status)
    # what the page around it shows is not asked for. A key that comes before htmx has seen the form sends it as it is
    token = {"csrf_token": get_token(request)}
    return HttpResponse(render_to_string("labeling/_workbench.html", context | token), status=status)


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


def _bench(request: HttpRequest, in_queue: Queue, shown: Item | None, today: int | None = None) -> dict[str, Any]:
    """Return what the labelling page shows; `today` is what the user answered, where that is known already."""
    user = person(request)
    if today is None and user.has_role(*EXPERTS):
        today = labels.answered_today(user)
    context: dict[str, Any] = {
        "user": user,
        "queue": in_queue,
        "item": shown,
        "load": queue_service.Load(in_queue),
        "asked": _asked(_wanted(request)),
        "answered_today": today,
    }
    if shown is None:
        return context | {"others": claims.held_by_others(in_queue, user)}
    complaints.looked(user, shown)
    held = claims.holds(shown, user)
    blind, hidden = blind_service.hides_evidence(shown, user), blind_service.hides_answers(shown, user)
    return context | {
        "blind": blind,
        "asks_reason": shown.flagged and not shown.is_proof,  # it would tell what the model said
        "evidence": None if shown.is_entity_day else evidence.Evidence(shown),
        "held": held,
        "may_claim": not held and shown.holder is None and claims.may_claim(shown, user),
        "may_take_over": not held and claims.may_take_over(shown, user),
        # who holds an open item has not answered it
        "answers": [] if blind or (held and shown.state == ItemState.OPEN) else _answers(shown, user, hidden),
        "suggestions": [] if hidden else suggestions.of_item(shown),
        **({} if blind else _dispute(shown, user)),
        "families": details.families(shown.detector) if held else [],
        "may_be_group": groups.may_be_group(shown),
    }


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


def _on_screen(request: HttpRequest) -> Item | None:
    key = paging.key_of(request.POST.get("item"))
    return claims.items().filter(pk=key).first() if key else None
