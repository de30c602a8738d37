"""The group verdict: one answer for all open look-alikes, some of which are kept to be answered singly as a check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from random import Random, SystemRandom
from typing import Any

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from detection.groups import CheckPolicy, draw_checks
from labeling.models import GroupCheck, GroupVerdict, Item, ItemState, Label, NotAdmitted, Queue, ReferenceRow
from labeling.services import chains, labels
from labeling.services.details import Given, LabelRefused
from labeling.services.states import follow

POLICY = CheckPolicy()
APART = (Queue.Kind.PROOF, Queue.Kind.COMPLAINT, Queue.Kind.RISK)  # each of their items wants an answer of its own
MOST = 200  # look-alikes of one verdict; a look has one item per queue and cell
PART = 200  # items of a contested group per transaction: who answers singly waits that long at most


@dataclass(frozen=True, slots=True)
class Group:
    """What a group verdict would do, besides answering the item on screen."""

    inherit: int  # items
    checks: int  # items kept to be answered singly
    sessions: int  # that all of them stand for


def preview(item: Item, expert: User) -> Group:
    """Return what a group verdict on an item would do now."""
    sessions = [row.sessions for row in _others(item, expert)]
    kept = len(_kept(item))
    checks = POLICY.checks(len(sessions), kept)
    return Group(len(sessions) - checks, kept + checks, sum(sessions))


@transaction.atomic
def submit(item: Item, expert: User, given: Given, lots: Random | None = None) -> Label:
    """Write an expert's answer to an item and to all its look-alikes. Raises NotHolder, LabelRefused.

    Look-alikes that others hold, that wait as a check or that the expert has answered are left alone."""
    if not may_be_group(item):
        raise LabelRefused(_("This item wants an answer of its own: it stands for no look-alikes."))
    given = given.checked()
    wanted = {other.pk for other in _others(item, expert)}
    queues = {locked.queue_id for locked in chains.locked({item.pk, *wanted})}
    list(Queue.objects.select_for_update().filter(pk__in=queues).order_by("pk"))  # two groups, one after the other
    origin = labels.submit(item, expert, **asdict(given))
    others = still_free(chains.locked(wanted), expert)
    kept = _kept(item)
    drawn = draw_checks((other.pk for other in others), POLICY, lots or SystemRandom(), len(kept))
    heirs = [other for other in others if other.pk not in drawn]
    chains.inherit(heirs, origin, expert, given, origin.created_at)
    follow(heirs, origin.created_at, release=True)
    GroupCheck.objects.bulk_create(GroupCheck(origin=origin, item_id=pk) for pk in sorted(kept | drawn))
    GroupVerdict.objects.create(
        label=origin,
        policy=POLICY.to_dict(),
        items=1 + len(heirs),
        checks=len(kept | drawn),
        sessions=item.sessions + sum(heir.sessions for heir in heirs),
    )
    return origin


def told(origin: Label) -> str:
    """What a group verdict did, for the expert."""
    done = GroupVerdict.objects.get(label=origin)
    said = ngettext("Answered %(n)s item", "Answered %(n)s look-alikes as one", done.items) % {"n": done.items}
    if done.checks:
        kept = ngettext("%(n)s is kept to be answered singly", "%(n)s are kept to be answered singly", done.checks)
        said = f"{said}; {kept % {'n': done.checks}}"
    return f"{said}."


def may_be_group(item: Item) -> bool:
    return item.queue.kind not in APART


def open_to(items: QuerySet[Item], expert: User) -> QuerySet[Item]:
    """Return those of some items that one answer may be given to together with others."""
    now = timezone.now()
    answered = Label.objects.current().filter(item=OuterRef("pk"), expert=expert)
    return (
        items.filter(Q(claimed_until=None) | Q(claimed_until__lte=now) | Q(claimed_by=expert))
        .exclude(queue__kind__in=APART)
        .exclude(Exists(answered))
        .exclude(Exists(GroupCheck.objects.waiting().filter(item=OuterRef("pk"))))
    )


def _others(item: Item, expert: User) -> list[Item]:
    alike = Item.objects.waiting().filter(detector=item.detector_id, shape=item.shape).exclude(pk=item.pk)
    return list(open_to(alike, expert).only("pk", "sessions").order_by("pk")[:MOST])


def _kept(item: Item) -> set[int]:
    """Return the look-alikes that an earlier verdict on the group kept, and nobody has answered."""
    waiting = GroupCheck.objects.waiting().filter(item__detector=item.detector_id, item__shape=item.shape)
    return set(waiting.exclude(item=item).values_list("item_id", flat=True))


def still_free(locked: Sequence[Item], expert: User) -> list[Item]:
    """Return the items that are still open and free, now that nobody can change them."""
    pks = [item.pk for item in locked]
    free = set(open_to(Item.objects.filter(pk__in=pks, state=ItemState.OPEN), expert).values_list("pk", flat=True))
    return [item for item in locked if item.pk in free]


# the check


def collect_checks() -> int:
    """Compare the answers to checks with those of their groups; return how many checks were answered."""
    waiting = GroupCheck.objects.waiting().filter(origin__superseded_by=None)
    answered = waiting.filter(Exists(_answers(OuterRef("item"), OuterRef("origin__created_at"))))
    collected = sum(_collect(pk) for pk in list(answered.order_by("pk").values_list("pk", flat=True)))
    for pk in list(GroupCheck.objects.contesting().order_by("pk").values_list("pk", flat=True)):
        while _contest_some(pk):
            pass
    return collected


def _answers(item: Any, since: Any) -> QuerySet[Label]:
    return Label.objects.current().own().filter(item=item, created_at__gt=since)


@transaction.atomic
def _collect(pk: int) -> bool:
    check = GroupCheck.objects.select_for_update(of=("self",)).select_related("origin").get(pk=pk)
    given = set(_answers(check.item_id, check.origin.created_at).values_list("answer", flat=True))
    if check.agreed is not None or not given:
        return False
    if given == {check.origin.answer}:
        GroupCheck.objects.filter(pk=pk).update(agreed=True, collected_at=timezone.now())
        if not GroupCheck.objects.unfinished().filter(origin=check.origin_id).exists():
            _let_in(check.origin)
    else:
        newest = Label.objects.aggregate(newest=Max("pk"))["newest"]
        GroupCheck.objects.filter(pk=pk).update(agreed=False, contested_after=newest)
    return True


@transaction.atomic
def _contest_some(pk: int) -> bool:
    """Send a part of a group to a senior expert, with the item that was answered differently; False when none is left.

    A bulk verdict may stand for thousands: in one transaction all who answer would wait for them. Nothing of the group
    enters the reference set meanwhile (`checked`). What is in it already stays: that is a matter for a dispute."""
    check = GroupCheck.objects.select_for_update(of=("self",)).select_related("origin").get(pk=pk)
    if check.agreed is not False or check.collected_at is not None:
        return False
    some = list(_to_contest(check).order_by("pk").values_list("pk", flat=True)[:PART])
    items = chains.locked(some)
    Item.objects.filter(pk__in=some).update(contested_after=check.contested_after)
    for item in items:
        item.contested_after = check.contested_after
    follow(items, timezone.now(), release=False)
    if len(some) < PART:
        GroupCheck.objects.filter(pk=pk).update(collected_at=timezone.now())
    return len(some) == PART


def _to_contest(check: GroupCheck) -> QuerySet[Item]:
    answered = Label.objects.current().with_heirs(check.origin).values("item")
    untold = Q(contested_after=None) | Q(contested_after__lt=check.contested_after)
    found = Item.objects.filter(untold, Q(pk__in=answered) | Q(pk=check.item_id))
    return found.exclude(Exists(ReferenceRow.objects.filter(item=OuterRef("pk"))))


def _let_in(origin: Label) -> None:
    """Put what waited for the check before the reference set again."""
    answered = Label.objects.current().with_heirs(origin).values("item")
    waiting = Item.objects.filter(pk__in=answered, not_admitted=NotAdmitted.CHECK_WAITS)
    waiting.update(reference_checked_at=None, not_admitted="")


def checked(given: Iterable[Label]) -> list[Label]:
    """Return the answers that no check contests or may still contest."""
    found = list(given)
    origins = {origin for label in found for origin in (label.pk, label.inherited_from_id) if origin}
    open_ones = set(GroupCheck.objects.unfinished().filter(origin__in=origins).values_list("origin_id", flat=True))
    return [label for label in found if not {label.pk, label.inherited_from_id} & open_ones]
