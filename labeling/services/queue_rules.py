"""How many equal answers a queue asks for, as a senior sets it."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from accounts.models import AuditEntry, User
from accounts.services import audit
from labeling.models import Item, Label, Queue
from labeling.services import chains
from labeling.services.states import follow

ACTION = "queue.changed"
MOST_NEEDED = 5
BATCH = 200  # items per transaction


def change(queue: Queue, by: User, *, labels_needed: int, raised_share: float) -> bool:
    """Set how many equal answers settle an item, and for which share of new items it is one more; False if it is so.

    Open items follow at once: where fewer answers suffice now, they settle. What each item needs once its lot raised
    it, and what is settled, stays."""
    if not 1 <= labels_needed <= MOST_NEEDED or not 0.0 <= raised_share <= 1.0:
        raise ValueError(f"1 to {MOST_NEEDED} answers and a share from 0 to 1, not {labels_needed} and {raised_share}")
    with transaction.atomic():
        locked = Queue.objects.select_for_update().get(pk=queue.pk)
        after = {"labels_needed": labels_needed, "raised_share": raised_share}
        before = {name: getattr(locked, name) for name in after}
        if after == before:
            return False
        Queue.objects.filter(pk=queue.pk).update(**after)
        audit.record(by, ACTION, queue.slug, before=before, after=after)
    if labels_needed < before["labels_needed"]:
        _settle(queue)
    return True


def _settle(queue: Queue) -> None:
    answered = Exists(Label.objects.current().filter(item=OuterRef("pk")))
    waiting = Item.objects.waiting().filter(answered, queue=queue, labels_needed=None).order_by("pk")
    pks = list(waiting.values_list("pk", flat=True))
    for start in range(0, len(pks), BATCH):
        with transaction.atomic():
            follow(chains.locked(pks[start : start + BATCH]), timezone.now(), release=False)


def history(queue: Queue) -> list[AuditEntry]:
    """Return the newest changes, newest first."""
    return list(AuditEntry.objects.filter(action=ACTION, subject=queue.slug).select_related("actor")[:10])
