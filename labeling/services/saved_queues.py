"""Saving a queue with its filter and order under a name, finding it again, telling colleagues its address."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from labeling.models import Item, Label, Queue, SavedQueue
from labeling.services.filters import ANY, EVERYTHING, FilterRefused, ItemFilter, Order

MOST = 50  # of one person
WITH_KEYS = 9  # `g` and a digit; the oldest first, so that a key keeps its meaning


class SavingRefused(ValueError):  # noqa: N818
    """It cannot be saved so; the text says why, for the person who asked."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A saved queue as its owner's list shows it."""

    saved: SavedQueue
    wanted: ItemFilter
    answered_today: int  # of the owner, among the items of the filter

    @property
    def query(self) -> str:
        return self.saved.query

    @property
    def order_name(self) -> str:
        return str(Order(self.wanted.order).label)


def save(owner: User, name: str, queue: Queue, query: str) -> SavedQueue:
    """Keep what is asked for under a name; the name again means: from now on this."""
    name = " ".join(name.split())
    if not name or len(name) > 60 or "\0" in name:
        raise SavingRefused(_("Give it a name of at most 60 characters."))
    try:
        wanted = ItemFilter.of(QueryDict(query))
    except FilterRefused as refusal:
        raise SavingRefused(str(refusal)) from None
    mine = SavedQueue.objects.filter(owner=owner)
    if not mine.filter(name=name).exists() and mine.count() >= MOST:
        raise SavingRefused(_("You have %(most)s saved queues: forget one first.") % {"most": MOST})
    return SavedQueue.objects.update_or_create(
        owner=owner, name=name, defaults={"queue": queue, "query": wanted.query}
    )[0]


def of(owner: User) -> list[Shown]:
    """Return the owner's saved queues with what he answered in each today (UTC)."""
    saved = SavedQueue.objects.filter(owner=owner).select_related("queue__detector")
    return [_shown(one) for one in saved]


def forget(saved: SavedQueue) -> None:
    saved.delete()


def places(owner: User) -> list[tuple[int, SavedQueue]]:
    """Return those that `g` and a digit lead to, with their digits."""
    return list(enumerate(SavedQueue.objects.filter(owner=owner)[:WITH_KEYS], start=1))


def _shown(saved: SavedQueue) -> Shown:
    try:
        wanted = ItemFilter.of(QueryDict(saved.query))
    except FilterRefused:  # a reason or a cell that does not exist any more
        wanted = EVERYTHING
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    today = Label.objects.current().own().filter(expert_id=saved.owner_id, created_at__gte=midnight)
    answered = Item.objects.filter(queue_id=saved.queue_id, pk__in=today.values("item"))
    conditions, parameters = wanted.where(ANY)
    return Shown(saved, wanted, answered.extra(where=conditions, params=parameters).count())  # noqa: S610 - ours
