"""Answers that differ: who decides between them, and what goes back to those who gave them, with a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import OuterRef, Prefetch, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import Role
from detection.texts import storable
from labeling.models import DECIDED, NO_ANSWER, Adjudication, AskedAgain, Item, ItemState, Label, Question, Queue
from labeling.services.details import LONGEST_NOTE, LabelRefused
from labeling.services.queues import move

DISPUTED = (ItemState.CONFLICT, ItemState.RETURNED)
PAGE = 50


def parts_of(expert: User) -> QuerySet[Label]:
    """Return the expert's words in the dispute of an outer item, withdrawn ones too: who has a part does not decide."""
    own = Label.objects.filter(item=OuterRef("pk"), expert=expert, adjudication=None)
    return own.exclude(answer__in=NO_ANSWER)


def has_part(item: Item, expert: User) -> bool:
    """Say whether the expert is one of those whose answers differ."""
    own = Label.objects.filter(item=item, expert=expert, adjudication=None)
    return own.exclude(answer__in=NO_ANSWER).exists()


def is_asked(item: Item, expert: User) -> bool:
    """Say whether a senior returned the item to this expert, who has not answered since."""
    return AskedAgain.objects.waiting().filter(question__item=item, expert=expert).exists()


def refuse_stranger(item: Item, expert: User) -> None:
    """Raise LabelRefused when the answers to an item differ and neither the decision nor the question is his."""
    if item.state not in DISPUTED or (item.state == ItemState.RETURNED and is_asked(item, expert)):
        return
    if not expert.has_role(Role.SENIOR):
        raise LabelRefused(_("The answers to this item differ: a senior expert decides."))
    if has_part(item, expert):
        raise LabelRefused(_("Your own answer is one of those that differ: another senior expert decides."))


def note(item: Item, label: Label) -> None:
    """Record what an answer to a disputed item is: somebody's second thought, or the decision over others."""
    if item.state not in DISPUTED:
        return
    waiting = AskedAgain.objects.filter(question__item=item, expert=label.expert_id, answered_at=None)
    if item.state == ItemState.RETURNED and waiting.update(answered_at=label.created_at):
        return
    others = Label.objects.current().filter(item=item).exclude(pk=label.pk)
    Adjudication.objects.create(label=label, between=list(others.order_by("pk").values_list("pk", flat=True)))


def ask_anew(items: Sequence[Item], expert: User) -> None:
    """Ask an expert once more who withdrew his second thought while the item is still returned."""
    returned = [item.pk for item in items if item.state == ItemState.RETURNED]
    if returned:
        AskedAgain.objects.filter(question__item__in=returned, expert=expert).update(answered_at=None)


@transaction.atomic
def return_item(item: Item, senior: User, text: str) -> Question:
    """Give a disputed item back to those whose answers differ, with a question. Raises LabelRefused."""
    locked = Item.objects.select_for_update(of=("self",)).select_related("queue").get(pk=item.pk)
    if locked.claimed_by_id != senior.pk:
        raise LabelRefused(_("You do not hold this item any more."))
    _refuse_return(locked, senior)
    text = storable(text.strip())
    if not 0 < len(text) <= LONGEST_NOTE:
        raise LabelRefused(_("Write what you want to know, in %(limit)s characters at most.") % {"limit": LONGEST_NOTE})
    asked = set(
        Label.objects.current()
        .filter(item=locked, answer__in=DECIDED, expert__is_active=True)
        .values_list("expert_id", flat=True)
    )
    if not asked:
        raise LabelRefused(_("None of those who answered is here any more: decide yourself."))
    question = Question.objects.create(item=locked, by=senior, text=text)
    AskedAgain.objects.bulk_create(AskedAgain(question=question, expert_id=expert) for expert in sorted(asked))
    free = {"claimed_by": None, "claimed_until": None, "opened_at": None}
    Item.objects.filter(pk=locked.pk).update(state=ItemState.RETURNED, **free)
    move(locked.queue_id, ItemState.CONFLICT, ItemState.RETURNED)
    return question


def may_return(item: Item, senior: User) -> bool:
    """Say whether a senior who holds the item may give it back instead of deciding."""
    if not senior.has_role(Role.SENIOR):
        return False
    try:
        _refuse_return(item, senior)
    except LabelRefused:
        return False
    return True


def _refuse_return(item: Item, senior: User) -> None:
    if item.state != ItemState.CONFLICT or not senior.has_role(Role.SENIOR):
        raise LabelRefused(_("Only a senior expert returns an item, while the answers to it differ."))
    if item.is_proof:  # a question would tell that somebody else said otherwise
        raise LabelRefused(_("A drawn item is answered apart by each: it is not returned."))
    if Question.objects.filter(item=item).exists():
        raise LabelRefused(_("It was returned once already: decide."))
    refuse_stranger(item, senior)


# what the page lists


@dataclass(frozen=True, slots=True)
class Dispute:
    """One item whose answers differ, as its reader may see it."""

    item: Item
    answers: list[Label]  # empty where the reader will answer blind, or has a part himself
    has_part: bool
    question: Question | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of disputes, oldest first, and the key that starts the next one."""

    disputes: list[Dispute]
    queues: list[Queue]  # with conflicts, as their counters say
    returned: int
    after: str

    @property
    def conflicts(self) -> int:
        return sum(queue.conflicts for queue in self.queues)


def page(reader: User, state: ItemState = ItemState.CONFLICT, after: str = "") -> Page:
    """Return what waits for a decision, or what was returned, the longest first."""
    found = list(_after(_listed(state), after)[: PAGE + 1])
    shown = found[:PAGE]
    mine = _parts(reader, shown)
    disputes = [_dispute(item, reader, item.pk in mine) for item in shown]
    queues = list(Queue.objects.filter(conflicts__gt=0).select_related("detector").order_by("-conflicts", "slug"))
    returned = Item.objects.returned().count()  # few at a time
    return Page(disputes, queues, returned, _key(shown[-1]) if len(found) > PAGE else "")


def _listed(state: ItemState) -> QuerySet[Item]:
    answers = Label.objects.current().select_related("expert").order_by("pk")
    items = Item.objects.returned() if state == ItemState.RETURNED else Item.objects.in_conflict()
    related = items.select_related("queue__detector", "detector", "claimed_by", "question__by")
    return related.prefetch_related(Prefetch("labels", answers, "in_force")).order_by("disputed_at", "pk")


def _after(items: QuerySet[Item], after: str) -> QuerySet[Item]:
    try:
        moment, pk = after.split("_")
        since, last = datetime.fromisoformat(moment), int(pk)
    except ValueError:
        return items
    return items.filter(disputed_at__gte=since).exclude(disputed_at=since, pk__lte=last)


def _key(item: Item) -> str:
    return f"{(item.disputed_at or timezone.now()).isoformat()}_{item.pk}"


def _parts(reader: User, items: Sequence[Item]) -> set[int]:
    own = Label.objects.filter(item__in=[item.pk for item in items], expert=reader, adjudication=None)
    return set(own.exclude(answer__in=NO_ANSWER).values_list("item_id", flat=True))


def _dispute(item: Item, reader: User, has_part: bool) -> Dispute:
    hidden = has_part or (item.is_proof and reader.has_role(Role.SENIOR))
    answers: list[Label] = [] if hidden else item.in_force  # type: ignore[attr-defined]  # prefetched
    return Dispute(item, answers, has_part, getattr(item, "question", None))
