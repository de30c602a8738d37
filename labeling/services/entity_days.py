"""Items about a day of a user or host: what rooms above found remarkable, for experts. They never gate a model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from labeling.models import Item, ItemState, Queue, SubjectKind
from labeling.services import queues
from models_registry.models.detectors import ENTITY, Detector

REASON = "unusual-day"


@dataclass(frozen=True, slots=True)
class EntityDay:
    """A day of an entity. `figures`: what its page says of it, as JSON."""

    key: str  # "organisation|entity|2026-11-21"
    title: str
    priority: float  # higher first
    begin: datetime
    end: datetime
    figures: dict[str, Any]


def queue_of(name: str) -> Queue:
    """Return the queue of entity days of this name; its detector stands for the people who watch, no model."""
    detector, _ = Detector.of_entities.get_or_create(
        name=name,
        protocol=ENTITY,
        defaults={"positive_class": "at risk", "negative_class": "ordinary", "positive_key": "m", "negative_key": "o"},
    )
    queue, _ = Queue.objects.get_or_create(
        detector=detector, kind=Queue.Kind.RISK, defaults={"slug": name, "labels_needed": 1}
    )
    return queue


@transaction.atomic
def enqueue(queue: Queue, days: Sequence[EntityDay]) -> list[Item]:
    """Make an item of each day, or return the one there is, in the order given."""
    marks = [hashlib.sha256(one.key.encode()).hexdigest() for one in days]
    known = {item.fingerprint: item for item in Item.objects.filter(queue=queue, fingerprint__in=marks)}
    new = [
        Item(
            queue=queue,
            detector=queue.detector,
            version=None,
            subject_kind=SubjectKind.ENTITY_DAY,
            subject_key=one.key[:200],
            cell="",
            shape=mark,
            fingerprint=mark,
            title=one.title[:255],
            reason=REASON,
            decision=one.figures,
            priority=one.priority,
            first_at=one.begin,
            last_at=one.end,
            state=ItemState.OPEN,
        )
        for one, mark in zip(days, marks, strict=True)
        if mark not in known
    ]
    made = Item.objects.bulk_create(new)
    queues.move(queue.pk, None, ItemState.OPEN, len(made))
    known |= {item.fingerprint: item for item in made}
    return [known[mark] for mark in marks]
