"""Who works on what: an item is held by one expert at a time, by a lease that the open page renews."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts import prepared
from accounts.models import User
from accounts.prepared import ByKey
from accounts.roles import EXPERTS, Role
from accounts.services import audit
from labeling.models import AskedAgain, Item, ItemState, Label, Queue, Seed, Skip
from labeling.models.items import ItemQuerySet
from labeling.services import conflicts, seeds
from labeling.services.filters import ANY, EVERYTHING, ItemFilter

LEASE = timedelta(minutes=10)
LONGEST_HOLD = timedelta(hours=1)  # a page left open overnight must not keep an item from everybody else
SKIP_FOR = timedelta(hours=4)

# One statement finds and takes, whatever is asked for: nobody can come in between. PostgreSQL would make claimants
# queue up behind each other's rows, so there they step over locked ones. Who holds an item is given that one; the
# places to look are asked in turn, each only where those before it have nothing.
_GIVE = """
UPDATE labeling_item SET claimed_by_id = %s, claimed_until = %s,
  opened_at = CASE WHEN labeling_item.claimed_until > %s THEN labeling_item.opened_at ELSE %s END
WHERE labeling_item.id = COALESCE({places})
  AND (labeling_item.claimed_until IS NULL OR labeling_item.claimed_until <= %s OR labeling_item.claimed_by_id = %s)
RETURNING labeling_item.id, labeling_item.state, labeling_item.opened_at = %s
"""
_HELD = """(
    SELECT labeling_item.id FROM labeling_item
    WHERE labeling_item.claimed_by_id = %s AND labeling_item.queue_id = %s AND labeling_item.id <> %s AND {wanted}
      AND labeling_item.claimed_until > %s AND labeling_item.opened_at > %s AND labeling_item.state IN ({states})
    ORDER BY labeling_item.id LIMIT 1
)"""
_FREE = """(
    SELECT labeling_item.id FROM labeling_item
    WHERE labeling_item.queue_id = %s AND labeling_item.id <> %s AND {wanted}
      AND (labeling_item.claimed_until IS NULL OR labeling_item.claimed_until <= %s)
      AND NOT EXISTS (
        SELECT 1 FROM labeling_label l
        WHERE l.item_id = labeling_item.id AND l.expert_id = %s AND l.answer NOT IN ('withdrawn', 'expired')
          AND NOT EXISTS (SELECT 1 FROM labeling_label later WHERE later.supersedes_id = l.id))
      {not_a_part}
      AND NOT EXISTS (
        SELECT 1 FROM labeling_skip s
        WHERE s.item_id = labeling_item.id AND s.expert_id = %s AND s.until > %s)
    ORDER BY {order} LIMIT 1 {lock}
)"""
# who has a part in a dispute does not decide it, not even after taking his answer back
_NOT_A_PART = """
      AND NOT EXISTS (
        SELECT 1 FROM labeling_label p
        WHERE p.item_id = labeling_item.id AND p.expert_id = %s AND p.answer NOT IN ('withdrawn', 'expired')
          AND NOT EXISTS (SELECT 1 FROM labeling_adjudication a WHERE a.label_id = p.id))
"""


def claim_next(
    queue: Queue, expert: User, wanted: ItemFilter = EVERYTHING, *, arriving: bool = False, but: int = 0
) -> Item | None:
    """Give the expert the item he holds already, or the first one asked for that nobody holds and he has not answered.

    Items in conflict go to senior experts only, and before all others. Who arrives at the queue is given first what
    was returned to him; who is at work gets that last, so that no answer waits for the question. The item numbered
    `but` is never given."""
    if arriving:
        held = _give(queue, expert, wanted, but, ())
        shown = _shown(held.pk, queue, expert) if held else claim_returned(queue, expert)
        if shown is not None:
            return shown
    given = _give(queue, expert, wanted, but, _claimable(expert, wanted))
    if given is None:
        return None if arriving else claim_returned(queue, expert, but)
    drawn_for = given.is_new and given.state == ItemState.OPEN and not wanted.narrows
    seed = _take_seed(given.pk, queue, expert) if drawn_for else None
    return _shown(seed or given.pk, queue, expert)


def _take_seed(pk: int, queue: Queue, expert: User) -> int | None:
    """Hold the seed that is due before an item the expert was given, and let the item go; None where none is."""
    seed = seeds.in_place_of(pk, queue, expert)
    if seed is None:
        return None
    now = timezone.now()
    Item.objects.filter(pk=seed).update(claimed_by=expert, claimed_until=now + LEASE, opened_at=now)
    Item.objects.filter(pk=pk, claimed_by=expert).update(claimed_by=None, claimed_until=None, opened_at=None)
    return seed


def claim_returned(queue: Queue, expert: User, but: int = 0) -> Item | None:
    """Give the expert an item of the queue that a senior returned to him with a question, the longest waiting first."""
    waiting = AskedAgain.objects.waiting().filter(expert=expert, question__item__queue=queue)
    for pk in waiting.exclude(question__item=but).order_by("pk").values_list("question__item_id", flat=True):
        if claim(items().get(pk=pk), expert):
            return items().get(pk=pk)
    return None


@dataclass(frozen=True, slots=True)
class HeldByOthers:
    """Items of a queue that others hold now, and when the first of them is free again at the latest."""

    items: int
    until: datetime


def held_by_others(queue: Queue, expert: User) -> HeldByOthers | None:
    """Say what keeps an expert waiting; None when nobody else holds anything."""
    held = Item.objects.waiting().filter(queue=queue, claimed_by__isnull=False, claimed_until__gt=timezone.now())
    untils = held.exclude(claimed_by=expert).values_list("claimed_until", flat=True)
    leases = sorted(until for until in untils if until is not None)
    return HeldByOthers(len(leases), leases[0]) if leases else None


def may_take_over(item: Item, senior: User) -> bool:
    """Say whether somebody else holds an item that this senior may answer."""
    return senior.has_role(Role.SENIOR) and item.holder not in (None, senior) and may_claim(item, senior)


def take_over(item: Item, senior: User) -> User | None:
    """Give a senior the item that somebody else holds, on the record; return who held it, None when nobody did.

    Raises PermissionError when the item is not the senior's to answer."""
    if not senior.has_role(Role.SENIOR):
        raise PermissionError("only a senior expert takes an item over")
    with transaction.atomic():
        locked = Item.objects.select_for_update(of=("self",)).select_related("claimed_by").get(pk=item.pk)
        holder = locked.holder
        if holder is None or holder == senior:
            return None
        if not Item.objects.filter(_is_open_to(senior), pk=item.pk).exists():
            raise PermissionError("the item is not this person's to answer")
        now = timezone.now()
        Item.objects.filter(pk=item.pk).update(claimed_by=senior, claimed_until=now + LEASE, opened_at=now)
        audit.record(senior, "item.taken-over", f"item {item.pk}", holder=str(holder))
    return holder


def items() -> ItemQuerySet:
    """Items with all that a labelling page reads: many columns, so ask for them once. What it shows later, later."""
    shown = Item.objects.select_related("queue__detector", "detector", "version__detector", "record", "claimed_by")
    return shown.defer(*_LATER)


_LATER = ("record__examples", "record__spread", "version__report", "version__parameters")
_SHOWN = ByKey(lambda: Item.objects.select_related("version", "record").defer(*_LATER))


def _shown(pk: int, queue: Queue, expert: User) -> Item:
    """Return an item that an expert holds as `items` does, without asking for what is in hand: every join costs
    PostgreSQL more to plan than to do."""
    item = _SHOWN.get(pk)
    item.queue, item.claimed_by = queue, expert
    for row in (item, item.version):
        if row is not None and row.detector_id == queue.detector_id:
            row.detector = queue.detector
    return item


def claim(item: Item, expert: User) -> bool:
    """Take this very item; False when somebody else holds it or it is not the expert's to answer."""
    if renew(item, expert):
        return True
    now = timezone.now()
    free = Q(claimed_until=None) | Q(claimed_until__lte=now) | Q(claimed_by=expert)
    takeable = Item.objects.filter(free, _is_open_to(expert), pk=item.pk)
    return takeable.update(claimed_by=expert, claimed_until=now + LEASE, opened_at=now) == 1


def renew(item: Item, expert: User) -> bool:
    """Prolong the expert's lease. False when it went to somebody else, the item is done, or it was held too long."""
    now = timezone.now()
    oldest = now - LONGEST_HOLD
    mine = Item.objects.filter(pk=item.pk, claimed_by=expert, state__in=_held_states(expert), opened_at__gt=oldest)
    renewed = mine.update(claimed_until=now + LEASE) == 1
    if renewed:
        item.claimed_until = now + LEASE
    return renewed


def release(item: Item, expert: User) -> bool:
    """Put an item back for others."""
    mine = Item.objects.filter(pk=item.pk, claimed_by=expert)
    return mine.update(claimed_by=None, claimed_until=None, opened_at=None) == 1


@transaction.atomic
def skip(item: Item, expert: User, until: datetime | None = None) -> bool:
    """Pass an item on to others; the same expert sees it again `until` then, or after SKIP_FOR."""
    if not release(item, expert):
        return False
    Skip.objects.update_or_create(item=item, expert=expert, defaults={"until": until or timezone.now() + SKIP_FOR})
    return True


def may_claim(item: Item, expert: User) -> bool:
    """Say whether the item is one that this expert may still answer, whoever holds it now."""
    if not expert.has_role(*EXPERTS):
        return False
    return holds(item, expert) or Item.objects.filter(_is_open_to(expert), pk=item.pk).exists()


def holds(item: Item, expert: User) -> bool:
    """Say whether the expert holds the item, as far as the item in hand knows: he was given it to answer."""
    return item.claimed_by_id == expert.pk and item.holder is not None and item.state in _held_states(expert)


def _is_open_to(expert: User) -> Q:
    """Items that are this expert's to answer, whoever holds them: open ones, those a senior returned to him, and for
    a senior those whose answers differ while none of them is his."""
    unanswered = ~Exists(_answers_of(expert))
    returned = AskedAgain.objects.filter(question__item=OuterRef("pk"), expert=expert, answered_at=None)
    seeded = Seed.objects.filter(item=OuterRef("pk"), expert=expert)
    theirs = Q(Q(state=ItemState.OPEN) & unanswered) | Q(Q(state=ItemState.RETURNED) & Exists(returned))
    theirs |= Q(Q(state=ItemState.SEED) & unanswered & Exists(seeded))
    if expert.has_role(Role.SENIOR):
        theirs |= Q(Q(state__in=conflicts.DISPUTED) & unanswered & ~Exists(conflicts.parts_of(expert)))
    return theirs


def _held_states(expert: User) -> tuple[ItemState, ...]:
    own = (ItemState.OPEN, ItemState.RETURNED, ItemState.SEED)
    return (*own, ItemState.CONFLICT) if expert.has_role(Role.SENIOR) else own


def _claimable(expert: User, wanted: ItemFilter) -> tuple[ItemState, ...]:
    """Return the states to look for, the most pressing first."""
    if not expert.has_role(Role.SENIOR):
        return (ItemState.OPEN,)
    if wanted.state == ItemState.CONFLICT:
        return (ItemState.CONFLICT,)
    return ItemState.CONFLICT, ItemState.OPEN


def _answers_of(expert: User) -> QuerySet[Label]:
    return Label.objects.current().filter(item=OuterRef("pk"), expert=expert)


@dataclass(frozen=True, slots=True)
class _Given:
    """An item that one statement gave to an expert."""

    pk: int
    state: str
    is_new: bool  # he did not hold it before


def _give(queue: Queue, expert: User, wanted: ItemFilter, but: int, states: Sequence[ItemState]) -> _Given | None:
    """Prolong the lease of what the expert holds, or give him the first free item of the states, in their turn."""
    now = timezone.now()
    until, moment, oldest = (_stored(each) for each in (now + LEASE, now, now - LONGEST_HOLD))
    places = [_held(queue, expert, wanted, but, moment, oldest)]
    places += [_free(queue, expert, wanted, but, moment, state) for state in states]
    # COALESCE takes two at least
    sql = _GIVE.format(places=", ".join([place for place, _said in places] + ["NULL"] * (not states)))
    asked = [value for _place, said in places for value in said]
    parameters = [expert.pk, until, moment, moment, *asked, moment, expert.pk, moment]
    # what narrows is written in many ways, and its values decide over its plan
    with connection.cursor() if wanted.narrows else prepared.cursor() as cursor:
        cursor.execute(sql, parameters)
        found = cursor.fetchall()
    for pk, state, is_new in found:
        return _Given(pk, state, bool(is_new))
    return None


def _held(queue: Queue, expert: User, wanted: ItemFilter, but: int, now: Any, oldest: Any) -> tuple[str, list[Any]]:
    """Return where to look for an item that the expert holds, and the parameters."""
    conditions, said = wanted.where(ANY)
    states = ", ".join(f"'{state.value}'" for state in _held_states(expert))
    sql = _HELD.format(wanted=" AND ".join(conditions) or "1 = 1", states=states)
    return sql, [expert.pk, queue.pk, but, *said, now, oldest]


def _free(
    queue: Queue, expert: User, wanted: ItemFilter, but: int, now: Any, state: ItemState
) -> tuple[str, list[Any]]:
    """Return where to look for an item of a state that nobody holds, and the parameters."""
    lock = "FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    conditions, said = wanted.where(state)
    part, asked = (_NOT_A_PART, [expert.pk]) if state == ItemState.CONFLICT else ("", [])
    sql = _FREE.format(wanted=" AND ".join(conditions), order=wanted.sorting.sql, lock=lock, not_a_part=part)
    return sql, [queue.pk, but, *said, now, expert.pk, *asked, expert.pk, now]


def _stored(moment: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(moment)
