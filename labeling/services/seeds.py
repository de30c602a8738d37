"""Blind seeds: settled cases among an expert's items, to see whether he still answers as the reference set does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from accounts.models import User
from accounts.roles import EXPERTS
from detection import seeds
from detection.seeds import SeedPolicy
from labeling.models import Item, ItemHost, ItemRecord, ItemState, Label, Queue, ReferenceRow, Seed, Skip
from labeling.models.labels import LabelQuerySet
from labeling.services.labels import UNDO_WITHIN
from models_registry.models import Detector

POLICY = SeedPolicy()
NEVER = (Queue.Kind.PROOF, Queue.Kind.COMPLAINT)  # a random sample, and a customer who waits
AT_WORK = timedelta(days=7)  # seeds are made for those who answered a queue lately
LOOKED_AT = 300  # of the newest reference cases of a queue
_COPIED = (
    "queue_id",
    "detector_id",
    "version_id",
    "subject_kind",
    "subject_key",
    "cell",
    "shape",
    "title",
    "reason",
    "decision",
    "sensor",
    "source",
    "priority",
    "cause",
    "raised_by_id",
    "sessions",
    "hosts",
    "first_at",
    "last_at",
    "late_hit_at",
)
_RECORD = ("row", "raw", "examples", "scores", "spread", "rule_set")


def key() -> bytes:
    return settings.REFERENCE_KEY.encode()


# giving


def in_place_of(pk: int, queue: Queue, expert: User) -> int | None:
    """Return the item to give to the expert instead of the one whose turn it is, if a seed is due before it."""
    if queue.kind in NEVER or not seeds.is_due(key(), expert.pk, pk, POLICY):
        return None
    given = Seed.objects.filter(expert=expert, instead_of=pk).first()
    if given is not None:
        return given.item_id if _waits(given) else None
    ready = Seed.objects.filter(expert=expert, item__queue=queue, instead_of=None).order_by("pk").first()
    if ready is None:
        return None
    free = Seed.objects.filter(pk=ready.pk, instead_of=None)
    return ready.item_id if free.update(instead_of=pk, given_at=timezone.now()) else None


def _waits(seed: Seed) -> bool:
    """Say whether a seed that was given is still to be answered: he may have passed it on."""
    passed = Skip.objects.filter(item=seed.item_id, until__gt=timezone.now())
    return not passed.exists() and not Label.objects.current().filter(item=seed.item_id).exists()


# making


def prepare(now: datetime | None = None) -> int:
    """Have seeds ready for everybody who answers; return how many were made."""
    now = now or timezone.now()
    made = 0
    for detector in Detector.objects.order_by("pk"):
        for queue in detector.queues.exclude(kind__in=NEVER).order_by("pk"):
            cases = _cases(queue, now)
            for expert in _at_work(queue, now) if cases else ():
                made += _prepare(queue, expert, cases, now)
    return made


def _at_work(queue: Queue, now: datetime) -> QuerySet[User]:
    lately = Label.objects.filter(item__queue=queue, expert=OuterRef("pk"), created_at__gte=now - AT_WORK)
    return User.objects.filter(Exists(lately), is_active=True, role__in=EXPERTS).order_by("pk")


def _cases(queue: Queue, now: datetime) -> list[int]:
    """Return the newest items of a queue that stand in the reference set."""
    rows = ReferenceRow.objects.gating().filter(item=OuterRef("pk"), answer=OuterRef("outcome"), recheck_since=None)
    since = now - timedelta(days=POLICY.window_days)
    settled = Item.objects.settled().filter(Exists(rows), queue=queue, created_at__gte=since, recheck_at=None)
    return list(settled.order_by("-settled_at", "-pk").values_list("pk", flat=True)[:LOOKED_AT])


def _prepare(queue: Queue, expert: User, cases: list[int], now: datetime) -> int:
    missing = POLICY.ready - Seed.objects.filter(expert=expert, item__queue=queue, instead_of=None).count()
    if missing <= 0:
        return 0
    own = Label.objects.filter(expert=expert, detector=OuterRef("detector"), item__shape=OuterRef("shape"))
    given = Seed.objects.filter(expert=expert, original=OuterRef("pk"))
    strange = Item.objects.filter(~Exists(own), ~Exists(given), pk__in=cases).values_list("pk", flat=True)
    chosen = seeds.choose(key(), expert.pk, strange, missing)
    for original in Item.objects.filter(pk__in=chosen).select_related("record").order_by("pk"):
        _copy(original, expert, now)
    return len(chosen)


@transaction.atomic
def _copy(original: Item, expert: User, now: datetime) -> None:
    fields = {name: getattr(original, name) for name in _COPIED}
    mark = json.dumps(["seed", original.pk, expert.pk])  # folds with nothing
    item = Item.objects.create(
        **fields, fingerprint=hashlib.sha256(mark.encode()).hexdigest(), state=ItemState.SEED, created_at=now
    )
    ItemRecord.objects.create(item=item, **{name: getattr(original.record, name) for name in _RECORD})
    hosts = original.group_hosts.order_by("pk").values_list("host", "sessions")
    ItemHost.objects.bulk_create(ItemHost(item=item, host=host, sessions=sessions) for host, sessions in hosts)
    Seed.objects.create(
        item=item,
        original=original,
        expert=expert,
        expected=original.outcome,
        policy=POLICY.to_dict(),
        created_at=now,
    )


# telling


def told(now: datetime | None = None) -> LabelQuerySet:
    """Return the answers to seeds of which their experts may know: none can be undone any more."""
    limit = (now or timezone.now()) - UNDO_WITHIN
    found = Label.objects.current().filter(item__state=ItemState.SEED, created_at__lte=limit)
    assert isinstance(found, LabelQuerySet)
    return found


def told_of(labels: Sequence[Label]) -> dict[int, Seed]:
    """Return the seeds among the items of some answers, as far as their experts may know of them, by item."""
    seen = told().filter(pk__in=[label.pk for label in labels if label.item.state == ItemState.SEED]).values("item")
    found = Seed.objects.filter(item__in=seen).select_related("original__detector", "original__queue")
    return {seed.item_id: seed for seed in found}


def counted(detector: Detector, since: datetime, now: datetime) -> dict[int, tuple[int, int]]:
    """Return how many seeds each expert answered, and how many of them as the reference set says."""
    right = Count("pk", filter=Q(answer=F("item__seed__expected")))
    by_expert = told(now).filter(detector=detector, created_at__gte=since).order_by().values("expert")
    rows = by_expert.annotate(all=Count("pk"), right=right).values_list("expert", "all", "right")
    return {expert: (everything, right) for expert, everything, right in rows}


def missed(expert: User, since: datetime) -> list[Label]:
    """Return an expert's answers to seeds that differ from the reference set, newest first."""
    own = told().filter(expert=expert, created_at__gte=since).exclude(answer=F("item__seed__expected"))
    related = own.select_related("item__seed__original", "detector")
    return list(related.order_by("-pk")[:20])
