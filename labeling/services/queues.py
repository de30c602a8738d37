"""Questions about queues that stay cheap with a million items: bounded counts and pages by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Min, Q, QuerySet

from labeling.models import Item, ItemState, Queue
from models_registry.models import Detector

COUNTED_TO = 1_000  # more is shown as "1,000+": nobody works by the exact number, and counting a million is slow
PAGE = 50


@dataclass(frozen=True, slots=True)
class Load:
    """What waits in a queue; counts above COUNTED_TO are not counted further."""

    queue: Queue
    waiting: int
    conflicts: int
    oldest: datetime | None = None

    @property
    def more(self) -> bool:
        return self.waiting > COUNTED_TO


def loads() -> list[Load]:
    """Return all queues with what waits in them."""
    return [load(queue) for queue in Queue.objects.select_related("detector")]


def load(queue: Queue) -> Load:
    """Return what waits in a queue, and since when."""
    oldest = Item.objects.filter(queue=queue).waiting().aggregate(oldest=Min("created_at"))["oldest"]
    return replace(counts(queue), oldest=oldest)


def counts(queue: Queue) -> Load:
    """Return how much waits in a queue: what a labelling page shows."""
    items = Item.objects.filter(queue=queue)
    return Load(
        queue,
        waiting=items.waiting().order_by()[: COUNTED_TO + 1].count(),
        conflicts=items.in_conflict().order_by()[: COUNTED_TO + 1].count(),
    )


def unique_queue(detector: Detector) -> Queue:
    """Return the detector's queue of unique candidates; it is made when the first item needs it."""
    return Queue.objects.get_or_create(
        detector=detector, kind=Queue.Kind.UNIQUE, defaults={"slug": f"{detector.name}-{Queue.Kind.UNIQUE.value}"}
    )[0]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a queue and the key that starts the next one."""

    items: Sequence[Item]
    after: str  # empty on the last page


def page(queue: Queue, state: str, after: str = "") -> Page:
    """Return the items of a state that come after a key: the most urgent first, settled ones newest first."""
    items = Item.objects.filter(queue=queue).select_related("version__detector", "claimed_by")
    if state == ItemState.SETTLED:
        rows = _after_time(items.settled(), after).order_by("-settled_at", "-id")
    else:
        some = items.in_conflict() if state == ItemState.CONFLICT else items.waiting()
        rows = _after_priority(some, after).order_by("-priority", "id")
    found = list(rows[: PAGE + 1])
    return Page(found[:PAGE], _key(found[PAGE - 1], state) if len(found) > PAGE else "")


def _after_priority(items: QuerySet[Item], after: str) -> QuerySet[Item]:
    try:
        priority, pk = after.split("_")
        bound, last = float(priority), int(pk)
    except ValueError:
        return items
    # the first bound alone lets the index skip what lies before
    return items.filter(priority__lte=bound).filter(Q(priority__lt=bound) | Q(id__gt=last))


def _after_time(items: QuerySet[Item], after: str) -> QuerySet[Item]:
    try:
        moment, pk = after.split("_")
        bound, last = datetime.fromisoformat(moment), int(pk)
    except ValueError:
        return items
    return items.filter(settled_at__lte=bound).filter(Q(settled_at__lt=bound) | Q(id__lt=last))


def _key(item: Item, state: str) -> str:
    if state == ItemState.SETTLED and item.settled_at:
        return f"{item.settled_at.isoformat()}_{item.pk}"
    return f"{item.priority!r}_{item.pk}"
