"""Where items stand in their queues: the number, what it comes from, and what raises it later."""

from __future__ import annotations

from django.db import transaction
from django.db.models import F, FloatField, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from detection.selection import Cause, Place, Reason, SelectionPolicy, place_of
from labeling.models import Item, ItemState, PriorityRaise
from models_registry.models import Version

INCIDENT = 5.0  # above every place of a first item that scores, hosts and sessions give (3.5 at most), below a deadline
BATCH = 500  # items of one transaction: nobody who answers waits longer for it
_WAITING = (ItemState.OPEN, ItemState.CONFLICT, ItemState.RETURNED)


def place(item: Item, otherwise: SelectionPolicy) -> Place:
    """Return where an item belongs by the policy that was stored with it, or `otherwise` where none was."""
    said = item.decision
    policy = SelectionPolicy.of_dict(said.get("policy", {})) or otherwise
    found = place_of(
        Reason(item.reason), said["score"], said["threshold"], item.sessions, item.hosts, policy, said.get("round", 0)
    )
    return found.plus(Cause.RAISED, item.raised_by.amount) if item.raised_by else found


def explained(item: Item) -> Place | None:
    """Return how an item got its number, part by part; None where its number came by another way than a formula, or by
    figures that it does not keep."""
    policy = SelectionPolicy.of_dict(item.decision.get("policy", {}))
    if policy is None or item.reason not in {reason.value for reason in Reason}:
        return None
    found = place(item, policy)
    return found if abs(found.number - item.priority) < 1e-6 else None


# what comes to be known later


def raise_items(version: Version, cause: str, amount: float = INCIDENT) -> PriorityRaise:
    """Let the waiting items of a version, and those to come, go up in their queues until it is lifted.

    Saying it again changes nothing. Of several that stand, the strongest counts."""
    return PriorityRaise.objects.standing().get_or_create(version=version, cause=cause, defaults={"amount": amount})[0]


def lift(version: Version, cause: str) -> bool:
    """End a raise; False when none stood."""
    return PriorityRaise.objects.standing().filter(version=version, cause=cause).update(lifted_at=timezone.now()) > 0


def standing(version: Version) -> PriorityRaise | None:
    """Return what raises a version's items now."""
    return PriorityRaise.objects.standing().filter(version=version).order_by("-amount", "pk").first()


def follow() -> int:
    """Give all waiting items the raise that stands for their version, if any; return how many changed.

    States are compared, nothing is remembered: what a killed run left is done by the next."""
    left = Item.objects.filter(raised_by__isnull=False, raised_by__lifted_at__isnull=False, state__in=_WAITING)
    raised = PriorityRaise.objects.standing().values_list("version", flat=True)
    versions = Version.objects.filter(pk__in={*raised, *left.values_list("version", flat=True).distinct()})
    return sum(_follow(version) for version in versions.order_by("pk"))


def _follow(version: Version) -> int:
    found, changed = standing(version), 0
    has_it = Q(raised_by__isnull=True) if found is None else Q(raised_by=found, raised_by__isnull=False)
    others = Item.objects.filter(~has_it, version=version, state__in=_WAITING).order_by("pk")
    while some := list(others.values_list("pk", flat=True)[:BATCH]):
        changed += _give(some, found)
    return changed


@transaction.atomic
def _give(pks: list[int], found: PriorityRaise | None) -> int:
    # in the order in which routing locks them, so that two writers cannot wait for each other in a circle
    locked = Item.objects.select_for_update().filter(pk__in=pks).order_by("fingerprint")
    before = PriorityRaise.objects.filter(pk=OuterRef("raised_by")).values("amount")
    had = Coalesce(Subquery(before), Value(0.0), output_field=FloatField())
    now = found.amount if found else 0.0
    return Item.objects.filter(pk__in=list(locked.values_list("pk", flat=True))).update(
        priority=F("priority") - had + now, raised_by=found
    )
