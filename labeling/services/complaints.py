"""Complaints as items: on top of their own queue, one expert's answer decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from detection.fingerprint import fingerprint, shape_of, title_of
from detection.selection import Cause, Cell
from detection.sessions import Row, session_key
from detection.texts import storable
from labeling.models import Answer, ComplaintItem, Item, ItemRecord, ItemState, Label, Queue
from labeling.services import queues, reference
from labeling.services.records import moment, stored_row, to_json
from models_registry.models import Version

REASON = "complaint"  # detection.selection knows reasons of scores; this one is a customer's word
LABELS_NEEDED = 1  # within 24 hours; into the reference set goes what customer and expert agree on
_TOP = 10.0**10  # above every priority that scores give; the nearest deadline first


@dataclass(frozen=True, slots=True)
class Flagged:
    """What a customer saw flagged, and what the bundle says of it here."""

    number: str  # of the complaint
    customer: str
    due_at: datetime | None  # None: nothing is promised
    row: Row
    raw: str  # as pasted
    version: Version
    score: float
    threshold: float
    bars: Sequence[dict[str, Any]]


@transaction.atomic
def add(flagged: Flagged) -> Item:
    """Make the item of a complaint. Look-alikes of other customers stay apart: each one wants its own answer."""
    detector = flagged.version.detector
    at = moment(flagged.row["start"])
    shape = shape_of(flagged.row)
    queue = queues.queue_of(detector, Queue.Kind.COMPLAINT)
    item = Item.objects.create(
        queue=queue,
        labels_needed=LABELS_NEEDED,
        detector=detector,
        version=flagged.version,
        subject_key=storable(session_key(f"customer {flagged.customer}", flagged.row), 200),
        cell=Cell.UNINSPECTED_POSITIVE.value,  # flagged at the customer, whose rules are not known here
        shape=shape,
        fingerprint=fingerprint(detector.name, f"{flagged.number} {timezone.now().isoformat()}", shape),
        title=storable(title_of(flagged.row), 255),
        reason=REASON,
        decision={"complaint": flagged.number, "score": flagged.score, "threshold": flagged.threshold}
        | {"policy": {"version": 1, "order": "the nearest deadline first"}},
        sensor=storable(f"customer {flagged.customer}", 100),
        source=storable(f"customer {flagged.customer}", 100),
        priority=_priority(flagged.due_at),
        cause=Cause.DEADLINE.value,
        first_at=at,
        last_at=at,
    )
    ItemRecord.objects.create(
        item=item,
        row=to_json(stored_row(flagged.row)),
        raw=storable(flagged.raw),
        scores=to_json(list(flagged.bars)),
    )
    ComplaintItem.objects.create(
        item=item, number=flagged.number, customer=storable(flagged.customer, 100), due_at=flagged.due_at
    )
    queues.move(queue.pk, None, ItemState.OPEN)
    return item


@transaction.atomic
def join(item: Item, *, due_at: datetime | None, customer: str) -> bool:
    """Let an item stand for one more complaint of its look: due as early as the earliest, named by all customers.

    False when its answer was collected already. Until the caller commits, the answer waits for him."""
    Item.objects.select_for_update(of=("self",)).get(pk=item.pk)
    told = ComplaintItem.objects.get(pk=item.pk)
    if told.collected_at is not None:
        return False
    if due_at is not None and (told.due_at is None or due_at < told.due_at):
        told.due_at = due_at
        Item.objects.filter(pk=item.pk).update(priority=_priority(due_at))
    if customer not in told.customer.split(", "):
        told.customer = storable(f"{told.customer}, {customer}", 100)
    told.save(update_fields=["due_at", "customer"])
    return True


def _priority(due_at: datetime | None) -> float:
    return _TOP - due_at.timestamp() if due_at is not None else 0.9 * _TOP - timezone.now().timestamp()


def looked(reader: User, item: Item) -> None:
    """Write down that somebody looked at a customer's session; items of our own traffic are not watched."""
    if item.reason == REASON:
        audit.record(reader, "complaint-item.viewed", item.complaint_item.number, item=item.pk)


def answered() -> list[ComplaintItem]:
    """Return the items whose answer nobody has collected."""
    settled = ComplaintItem.objects.filter(collected_at=None, item__state=ItemState.SETTLED)
    return list(settled.select_related("item__detector").order_by("item"))


@dataclass(frozen=True, slots=True)
class Said:
    """The answer that settled an item, and who gave it."""

    confirms: bool
    rejects: bool
    reason: str
    label: Label


def take(complaint_item: ComplaintItem) -> Said | None:
    """Collect an answer; None when somebody was faster or it was withdrawn. Call inside atomic()."""
    # the item's row lock is what an undo waits for
    item = Item.objects.select_for_update(of=("self",)).get(pk=complaint_item.pk)
    uncollected = ComplaintItem.objects.filter(pk=complaint_item.pk, collected_at=None)
    if item.state != ItemState.SETTLED or not uncollected.update(collected_at=timezone.now()):
        return None
    label = Label.objects.current().filter(item=item, answer=item.outcome).order_by("-id").select_related("expert")[0]
    confirms, rejects = item.outcome == Answer.NEGATIVE, item.outcome == Answer.POSITIVE
    return Said(confirms, rejects, _reason(label), label)


def admit(item: Item) -> bool:
    """Let a confirmed complaint into the reference set as a regression row; False when it is in already."""
    return reference.admit(item)


def _reason(label: Label) -> str:
    words = [label.get_reason_code_display() if label.reason_code else "", label.family, label.note]
    return " · ".join(word for word in words if word)
