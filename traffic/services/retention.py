"""Deleting stored traffic by age and size, without asking anybody: whoever needs a session has a copy of it.

A segment's row stays, so that counts which name it stay true. It says first that the files are gone, then they go: a
killed process leaves a row that names a file which nobody reads, and the next run deletes it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from detection.retention import Plan, RetentionPolicy, Stored, plan
from traffic import storage
from traffic.models import Kind, LateHit, OutsideHit, Segment
from traffic.services import runs

log = structlog.get_logger(__name__)
POLICY = RetentionPolicy()
BATCH = 500  # rows per statement
READERS_PATIENCE = timedelta(hours=1)  # nobody holds a list of files longer: then those of merged segments go


@dataclass(frozen=True, slots=True)
class Room:
    """What the store holds, and what it may hold."""

    used: int  # bytes of sessions and raw lines
    budget: int  # bytes; 0: none set
    disk_free: int | None  # of a local store
    disk_total: int | None

    def must_free(self, policy: RetentionPolicy) -> int:
        """Return how many bytes have to go: more than the budget, or less free than the policy wants."""
        over = self.used - self.budget if self.budget else 0
        short = 0
        if self.disk_free is not None and self.disk_total is not None:
            short = policy.least_free(self.disk_total) - self.disk_free
        return max(over, short, 0)


def apply(policy: RetentionPolicy = POLICY, *, now: datetime | None = None, dry: bool = False) -> tuple[Plan, Room]:
    """Delete what is too old or too much; return what that was, and the room there was before."""
    if not dry:
        _finish()
    stored = _stored()
    room = _room(stored)
    decided = plan(stored, now or timezone.now(), policy, must_free=room.must_free(policy))
    if not dry:
        _mark(decided)
        _finish()
        if not decided.is_empty or decided.short:
            log.info(
                "retention.applied",
                raw=len(decided.raw),
                sessions=len(decided.sessions),
                bytes=decided.bytes,
                short=decided.short,
                policy=policy.to_dict(),
            )
    return decided, room


def forget_hits(policy: RetentionPolicy = POLICY, *, dry: bool = False) -> int:
    """Delete hits that nobody asks for any more; return how many.

    Late ones go when their sessions are gone or were merged with them, what other systems said goes as sessions do."""
    now = timezone.now()
    late = LateHit.objects.filter(created_at__lt=now - timedelta(days=policy.hit_days))
    late = late.exclude(segment__deleted_at=None)
    outside = OutsideHit.objects.filter(received_at__lt=now - timedelta(days=policy.session_days))
    if dry:
        return late.count() + outside.count()
    return _forget(late) + _forget(outside)


def _forget(rows: QuerySet[Any]) -> int:
    count = 0
    while pks := list(rows.values_list("pk", flat=True)[:BATCH]):
        count += rows.model._default_manager.filter(pk__in=pks).delete()[0]
    return count


def delete_old() -> int:
    """Delete what is too old or too much; return how many segments lost something."""
    forget_hits()
    decided, _room = apply()
    return len({*decided.raw, *decided.sessions})


def _stored() -> list[Stored]:
    """Return what the store holds. Saved dumps are kept: somebody chose them, and they are few."""
    found = list(
        Segment.objects.sealed()
        .exclude(kind=Kind.DUMP)
        .order_by("id")
        .values_list("pk", "created_at", "raw_path", "sessions_path", "raw_deleted_at")
    )
    raw = storage.sizes([path for _pk, _at, path, _sessions, gone in found if gone is None])
    sessions = storage.sizes([path for _pk, _at, _raw, path, _gone in found])
    return [Stored(pk, at, raw.get(path, 0), sessions.get(kept, 0)) for pk, at, path, kept, _gone in found]


def _room(stored: Sequence[Stored]) -> Room:
    used = sum(one.raw_bytes + one.session_bytes for one in stored)
    if not runs.store_is_local():
        return Room(used, settings.ETALON_TRAFFIC_BYTES, None, None)
    disk = shutil.disk_usage(storage.local_path("."))
    return Room(used, settings.ETALON_TRAFFIC_BYTES, disk.free, disk.total)


def _mark(decided: Plan) -> None:
    now = timezone.now()
    for pks in _batches([*decided.raw, *decided.sessions]):
        Segment.objects.filter(pk__in=pks, raw_deleted_at=None).update(raw_deleted_at=now)
    for pks in _batches(decided.sessions):
        Segment.objects.filter(pk__in=pks, deleted_at=None).update(deleted_at=now)


def _finish() -> None:
    """Delete the files of rows that say they are gone."""
    for segment in _unfinished().iterator():
        gone = {}
        if segment.raw_deleted_at is not None or segment.merged_into_id is not None:
            storage.delete(segment.raw_path)
            gone["raw_path"] = ""
        if segment.deleted_at is not None:
            storage.delete(segment.sessions_path)
            gone["sessions_path"] = ""
        Segment.objects.filter(pk=segment.pk).update(**gone)


def _unfinished() -> QuerySet[Segment]:
    raw = ~Q(raw_path="") & Q(raw_deleted_at__isnull=False)
    sessions = ~Q(sessions_path="") & Q(deleted_at__isnull=False)
    by_age = Segment.objects.filter(raw | sessions, merged_into=None)
    merged = Segment.objects.merged_before(timezone.now() - READERS_PATIENCE)
    return by_age | merged.exclude(raw_path="", sessions_path="")


def _batches(pks: Sequence[int]) -> list[Sequence[int]]:
    return [pks[start : start + BATCH] for start in range(0, len(pks), BATCH)]
