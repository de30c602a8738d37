"""What stored traffic has to go: by age, and the oldest first when room is short. Pure: sizes and times are told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Days after a segment was taken in. Items, labels and the reference set hold copies of what they need."""

    raw_days: int = 30  # lines as received: half of the room, wanted for fresh cases
    session_days: int = 90
    hit_days: int = 30  # late hits whose sessions are gone, or have them stored since they were merged
    score_days: int = 180  # board counts are sums of their own and stay for ever
    least_days: int = 1  # not even a full disk deletes what is younger: intake stops instead
    free_share: float = 0.10  # of the store's disk, or
    free_bytes: int = 10 << 30  # when that is less: with less room than this the oldest go

    def least_free(self, total: int) -> int:
        """Return how many bytes of a disk of this size must stay free."""
        return min(int(self.free_share * total), self.free_bytes)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Stored:
    """One segment as it lies in the store."""

    pk: int
    taken_in: datetime
    raw_bytes: int  # 0: gone
    session_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Which segments lose their raw lines, and which lose their sessions too."""

    raw: tuple[int, ...]
    sessions: tuple[int, ...]
    bytes: int  # that this frees
    short: int  # bytes that are still missing after it

    @property
    def is_empty(self) -> bool:
        return not (self.raw or self.sessions)


def plan(stored: Iterable[Stored], now: datetime, policy: RetentionPolicy, *, must_free: int = 0) -> Plan:
    """Return what has to go: what is too old; then raw lines, then sessions, the oldest first, until enough is free."""
    segments = sorted(stored, key=lambda one: (one.taken_in, one.pk))
    sessions = {one.pk for one in segments if _older(one, now, policy.session_days)}
    raw = {one.pk for one in segments if one.raw_bytes and (one.pk in sessions or _older(one, now, policy.raw_days))}
    free = _bytes(segments, raw, sessions)
    old = [one for one in segments if _older(one, now, policy.least_days)]
    for one in old:
        if free < must_free and one.raw_bytes and one.pk not in raw:
            raw.add(one.pk)
            free += one.raw_bytes
    for one in old:
        if free < must_free and one.pk not in sessions:
            sessions.add(one.pk)
            free += one.session_bytes
    ordered = [one.pk for one in segments]
    return Plan(
        tuple(pk for pk in ordered if pk in raw),
        tuple(pk for pk in ordered if pk in sessions),
        free,
        max(must_free - free, 0),
    )


def _older(one: Stored, now: datetime, days: int) -> bool:
    return now - one.taken_in > timedelta(days=days)


def _bytes(segments: Sequence[Stored], raw: set[int], sessions: set[int]) -> int:
    return sum(one.raw_bytes * (one.pk in raw) + one.session_bytes * (one.pk in sessions) for one in segments)
