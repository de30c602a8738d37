"""What a label of each queue costs: time by the server's clock, measured by the clock of the house, not by pages."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

import numpy as np
from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from labeling.models import ItemState, Label, Queue, QueuePrice

WINDOW = timedelta(days=30)


def measure(now: datetime | None = None) -> int:
    """Measure the price of every queue that was answered in the last WINDOW; return how many have one."""
    now = now or timezone.now()
    taken: dict[int, list[int]] = defaultdict(list)
    timed = Label.objects.filter(created_at__gte=now - WINDOW, milliseconds__isnull=False).order_by()
    for queue, milliseconds in timed.values_list("item__queue_id", "milliseconds").iterator(chunk_size=10_000):
        taken[queue].append(milliseconds or 0)
    per_item = _labels_per_item(now)
    with transaction.atomic():
        QueuePrice.objects.exclude(queue__in=taken).delete()
        for queue, times in sorted(taken.items()):
            median, p90 = (int(value) for value in np.quantile(times, (0.5, 0.9)))
            figures = {"labels": len(times), "median_ms": median, "p90_ms": p90, "per_item": per_item.get(queue)}
            QueuePrice.objects.update_or_create(queue_id=queue, defaults=figures | {"measured_at": now})
    return len(taken)


def _labels_per_item(now: datetime) -> dict[int, float]:
    """Return how many answers it took to settle an item; one that a group verdict settled took none of its own."""
    settled = Label.objects.current().filter(
        item__state=ItemState.SETTLED, item__settled_at__gte=now - WINDOW, created_at__gte=now - WINDOW
    )
    given = settled.order_by().values("item__queue").annotate(items=Count("item", distinct=True))
    found = {}
    for queue, labels, items in given.annotate(labels=Count("milliseconds")).values_list(
        "item__queue", "labels", "items"
    ):
        found[queue] = labels / items
    return found


def price_of(queue: Queue | None) -> QueuePrice | None:
    """Return what a label of the queue costs; None while nobody measured it."""
    return None if queue is None else QueuePrice.objects.filter(queue=queue).select_related("queue").first()
