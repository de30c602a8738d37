"""Labels as chains, one per expert and item: how links are added, one or many in few statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from accounts.models import User
from labeling.models import NO_ANSWER, Answer, Item, Label
from labeling.services import days
from labeling.services.details import Given

BATCH = 500  # rows per statement


def locked(items: Iterable[int]) -> list[Item]:
    """Return items with their queue, held until the transaction ends. Call inside atomic().

    In the order in which routing holds them, so that two writers cannot wait for each other in a circle."""
    rows = Item.objects.select_for_update(of=("self",)).filter(pk__in=list(items))
    return list(rows.select_related("queue").order_by("fingerprint", "id"))


def tails(items: Iterable[Item], expert: User) -> dict[int, Label]:
    """Return the newest link of the expert's chain for each item that has one."""
    newest = Label.objects.filter(item__in=[item.pk for item in items], expert=expert, superseded_by=None)
    return {label.item_id: label for label in newest}


def free(items: Sequence[Item], newest: dict[int, Label]) -> list[Item]:
    """Return the items for which an expert has no answer in force, by the `tails` of his chains."""
    return [item for item in items if (tail := newest.get(item.pk)) is None or tail.answer in NO_ANSWER]


def inherit(items: Sequence[Item], origin: Label | None, expert: User, given: Given, now: datetime) -> list[Label]:
    """Give one answer to many items that the expert has not answered; all inherit from `origin`.

    Without an origin the first label is the word that was given, and the others inherit from it."""
    newest = tails(items, expert)
    labels = [_link(item, expert, newest.get(item.pk), given, now) for item in items]
    if origin is None and labels:
        origin = labels[0]
        origin.save()
        days.count(expert, now)
        labels = labels[1:]
        for label in labels:
            label.inherited_from = origin
        return [origin, *Label.objects.bulk_create(labels, batch_size=BATCH)]
    for label in labels:
        label.inherited_from = origin
    return Label.objects.bulk_create(labels, batch_size=BATCH)


def _link(item: Item, expert: User, earlier: Label | None, given: Given, now: datetime) -> Label:
    return Label(
        item=item,
        detector_id=item.detector_id,
        subject_kind=item.subject_kind,
        subject_key=item.subject_key,
        expert=expert,
        supersedes=earlier,
        created_at=now,
        **given.on(item),
    )


def end(labels: Iterable[Label], answer: Answer, now: datetime, note: str = "") -> list[Label]:
    """Supersede answers by none: withdrawn or expired."""
    return Label.objects.bulk_create(
        [
            Label(
                item_id=label.item_id,
                detector_id=label.detector_id,
                subject_kind=label.subject_kind,
                subject_key=label.subject_key,
                expert_id=label.expert_id,
                source=label.source,
                answer=answer,
                note=note,
                supersedes=label,
                created_at=now,
            )
            for label in labels
        ],
        batch_size=BATCH,
    )
