"""Which stored segments become one: those of a closed day, and many small ones of a day that goes on.

Pure: sizes, times and the time now are told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class CompactionPolicy:
    """File count is the enemy of questions over many days (shared specs, throughput, section 3)."""

    most_rows: int = 250_000  # of a merged segment: what is sorted at once
    most_segments: int = 5_000
    small_rows: int = 50_000  # intake closes segments there; a merged one with fewer is merged again
    least_sorted: int = 20_000  # a lonely segment is worth sorting when it has more than one row group
    many: int = 30  # small segments of a day that goes on
    closes_hours: float = 2  # after midnight UTC: files of the evening come later
    settles_hours: float = 1  # after the intake: hits, scores and items are being made
    spread_hours: float = 24  # of intake times within one: by these it will be deleted

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stored:
    """One segment as it lies in the store."""

    pk: int
    key: Hashable  # only equal ones may become one
    day: date  # of its last session, UTC
    rows: int
    taken_in: datetime
    is_compact: bool  # sorted, of several or alone


@dataclass(frozen=True, slots=True)
class Batch:
    """Segments that become one."""

    day: date
    pks: tuple[int, ...]
    rows: int


def plan(
    stored: Iterable[Stored], now: datetime, policy: CompactionPolicy, *, closed: Collection[date] = ()
) -> list[Batch]:
    """Return what becomes one, the newest days first. The days named as closed are taken for that."""
    groups: dict[tuple[Hashable, date], list[Stored]] = defaultdict(list)
    for one in stored:
        if not _is_done(one, policy) and now - one.taken_in >= timedelta(hours=policy.settles_hours):
            groups[one.key, one.day].append(one)
    found = []
    for (_key, day), group in groups.items():
        is_closed = day in closed or now >= _end(day) + timedelta(hours=policy.closes_hours)
        ready = group if is_closed else [one for one in group if one.rows < policy.small_rows]
        for batch in _cut(ready, policy):
            if _is_worth(batch, policy) if is_closed else len(batch) >= policy.many:
                found.append(Batch(day, tuple(one.pk for one in batch), sum(one.rows for one in batch)))
    return sorted(found, key=lambda batch: (-batch.day.toordinal(), batch.pks))


def _is_done(one: Stored, policy: CompactionPolicy) -> bool:
    return one.is_compact and one.rows >= policy.small_rows


def _end(day: date) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(days=1)


def _cut(group: Sequence[Stored], policy: CompactionPolicy) -> Iterator[list[Stored]]:
    batch: list[Stored] = []
    rows = 0
    for one in sorted(group, key=lambda one: (one.taken_in, one.pk)):
        too_many = rows + one.rows > policy.most_rows or len(batch) == policy.most_segments
        if batch and (too_many or one.taken_in - batch[0].taken_in > timedelta(hours=policy.spread_hours)):
            yield batch
            batch, rows = [], 0
        batch.append(one)
        rows += one.rows
    if batch:
        yield batch


def _is_worth(batch: Sequence[Stored], policy: CompactionPolicy) -> bool:
    return len(batch) > 1 or (not batch[0].is_compact and batch[0].rows > policy.least_sorted)
