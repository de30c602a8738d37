"""Queues that stay cheap with a million items: counts by increments, pages by key, a budget and an expiry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, Exists, F, OuterRef, Q
from django.db.models.expressions import RawSQL
from django.utils import timezone

from accounts import prepared
from accounts.models import User
from accounts.roles import EXPERTS
from detection.sampling import SamplingPolicy, lot
from labeling.models import GroupCheck, Item, ItemState, Label, Queue, QueueDay, QueuePrice, Skip
from labeling.services.filters import ItemFilter
from models_registry.models import Detector

# the first entry of an index for each queue
_OLDEST = RawSQL(
    "(SELECT MIN(i.created_at) FROM labeling_item i WHERE i.queue_id = labeling_queue.id AND i.state = 'open')",
    (),
    output_field=DateTimeField(),
)
log = structlog.get_logger(__name__)
PAGE = 50
PROOF_SHARE = SamplingPolicy().second_share
EXPERT_DAY = 400  # items one expert can look at in a day: what a queue takes in per expert
EXPIRE_AFTER = timedelta(days=14)
NEVER_EXPIRE = (Queue.Kind.COMPLAINT,)  # a customer waits for an answer
_ORDER = {kind: place for place, kind in enumerate(Queue.Kind.values)}
# a count that was wrong must not stop anybody's work
_STEP = "{name} = CASE WHEN {name} < %s THEN 0 ELSE {name} + %s END"
_COUNTERS: dict[str | None, str] = {ItemState.OPEN.value: "waiting", ItemState.CONFLICT.value: "conflicts"}


@dataclass(frozen=True, slots=True)
class Load:
    """What waits in a queue, since when, and what had to stay out today."""

    queue: Queue
    oldest: datetime | None = None
    left_out: int = 0
    price: QueuePrice | None = None  # None: nobody answered lately

    @property
    def waiting(self) -> int:
        return self.queue.waiting

    @property
    def conflicts(self) -> int:
        return self.queue.conflicts


def loads() -> list[Load]:
    """Return all queues with what waits in them, detector by detector."""
    left_out = dict(QueueDay.objects.filter(day=_today()).values_list("queue_id", "left_out"))
    prices = {price.queue_id: price for price in QueuePrice.objects.all()}
    queues = Queue.objects.select_related("detector").annotate(oldest=_OLDEST)
    found = sorted(queues, key=lambda queue: (queue.detector.name, _place(queue)))
    return [Load(queue, queue.oldest, left_out.get(queue.pk, 0), _priced(prices, queue)) for queue in found]


def _priced(prices: dict[int, QueuePrice], queue: Queue) -> QueuePrice | None:
    if (price := prices.get(queue.pk)) is not None:
        price.queue = queue  # no second question for what waits in it
    return price


def _place(queue: Queue) -> tuple[int, str]:
    return _ORDER.get(queue.kind, len(_ORDER)), queue.slug


def load(queue: Queue) -> Load:
    """Return what waits in a queue, and since when."""
    day = QueueDay.objects.filter(queue=queue, day=_today()).first()
    oldest = Queue.objects.filter(pk=queue.pk).values_list(_OLDEST, flat=True)[0]
    return Load(queue, oldest, day.left_out if day else 0)


def queue_of(detector: Detector, kind: Queue.Kind) -> Queue:
    """Return the detector's queue of a kind; it is made when the first item needs it."""
    rules = {"labels_needed": 1, "raised_share": PROOF_SHARE} if kind == Queue.Kind.PROOF else {}
    return Queue.objects.get_or_create(
        detector=detector, kind=kind, defaults={"slug": f"{detector.name}-{kind.value}"} | rules
    )[0]


def needed_of(queue: Queue, fingerprint: str) -> int | None:
    """Return how many equal answers a new item needs, where its lot raised the number; None: as many as the queue says.

    Drawn items have lots of their own (labeling.services.proofs)."""
    if not queue.raised_share or lot(_key(), "raise", queue.slug, fingerprint) >= queue.raised_share:
        return None
    return queue.labels_needed + 1


def _key() -> bytes:
    return settings.REFERENCE_KEY.encode()


# counts: every change of an item's state moves them, in the same transaction


def move(queue_id: int, before: str | None, after: str | None, items: int = 1) -> None:
    """Keep the counts of a queue when items go from one state to another; None: from or to nowhere.

    Call it last in a transaction: all who answer items of the queue wait for this row."""
    if before == after or not items:
        return
    steps = {_COUNTERS[state]: step for state, step in ((before, -items), (after, items)) if state in _COUNTERS}
    if steps:
        columns = ", ".join(_STEP.format(name=name) for name in steps)
        both = [value for step in steps.values() for value in (-step, step)]
        with prepared.cursor() as cursor:
            cursor.execute(f"UPDATE labeling_queue SET {columns} WHERE id = %s", [*both, queue_id])  # noqa: S608 - ours


def recount() -> int:
    """Count all queues anew, repair what had drifted and warn of it; return how many were wrong."""
    return sum(_recount(pk) for pk in Queue.objects.order_by("pk").values_list("pk", flat=True))


@transaction.atomic
def _recount(pk: int) -> bool:
    """Hold one queue at a time: who answers its items waits for this row."""
    queue = Queue.objects.select_for_update().get(pk=pk)
    items = Item.objects.filter(queue=queue)
    found = {"waiting": items.waiting().count(), "conflicts": items.in_conflict().count()}
    was = {name: getattr(queue, name) for name in found}
    if was == found:
        return False
    Queue.objects.filter(pk=pk).update(**found)
    log.warning("queue.drift", queue=queue.slug, was=was, found=found)
    return True


# attention: what a day takes in, and what nobody looked at


def budget() -> int:
    """Return how many items a queue takes in per day: attention is the scarce good."""
    experts = User.objects.filter(is_active=True, role__in=EXPERTS).count()
    return max(experts, 1) * EXPERT_DAY


def take_places(queue: Queue, wanted: int) -> int:
    """Take places for new items out of the day's budget and return how many there were; what is left out is counted.

    Call inside atomic(): the row of the day is held until its end, so that two writers share one budget."""
    QueueDay.objects.get_or_create(queue=queue, day=_today())
    day = QueueDay.objects.select_for_update().get(queue=queue, day=_today())
    taken = min(wanted, max(budget() - day.admitted, 0))
    QueueDay.objects.filter(pk=day.pk).update(admitted=F("admitted") + taken, left_out=F("left_out") + wanted - taken)
    return taken


def expire() -> int:
    """Close items that nobody looked at for EXPIRE_AFTER; return how many. Their looks stay on the board."""
    return sum(_expire(queue) for queue in Queue.objects.exclude(kind__in=NEVER_EXPIRE))


@transaction.atomic
def _expire(queue: Queue) -> int:
    now = timezone.now()
    limit = now - EXPIRE_AFTER
    old = Item.objects.filter(queue=queue, created_at__lt=limit, opened_at=None).waiting()
    unheld = old.filter(Q(claimed_until=None) | Q(claimed_until__lt=now))
    untouched = unheld.exclude(Exists(Label.objects.filter(item=OuterRef("pk")))).exclude(
        Exists(Skip.objects.filter(item=OuterRef("pk"), until__gt=limit))
    )
    untouched = untouched.exclude(Exists(GroupCheck.objects.waiting().filter(item=OuterRef("pk"))))
    expired = untouched.update(state=ItemState.EXPIRED)
    move(queue.pk, ItemState.OPEN, None, expired)
    return expired


def _today() -> date:
    return timezone.now().date()


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a queue and the key that starts the next one."""

    items: Sequence[Item]
    after: str  # empty on the last page


def page(queue: Queue, wanted: ItemFilter, after: str = "") -> Page:
    """Return the items asked for that come after a key."""
    items = Item.objects.filter(queue=queue).select_related(
        "queue", "detector", "version__detector", "claimed_by", "raised_by"
    )
    found = list(wanted.sorting.after(wanted.apply(items), after)[: PAGE + 1])
    return Page(found[:PAGE], wanted.sorting.key(found[PAGE - 1]) if len(found) > PAGE else "")
