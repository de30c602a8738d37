"""When the sessions of a group were seen: a histogram of few slots, which grows coarser as its span grows.

Each width divides the next one, so slots merge whole and no session needs to be looked at again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

WIDTHS = (60, 300, 900, 3_600, 10_800, 21_600, 86_400, 604_800)  # seconds of one slot
SLOTS = 48  # at most, from the first to the last
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Spread:
    """Sessions by slot; slot n begins n widths after 1970 UTC."""

    width: int = WIDTHS[0]
    counts: Mapping[int, int] = field(default_factory=dict)

    def plus(self, starts: Iterable[int]) -> Spread:
        """Return the spread with more sessions, by their starts in microseconds since 1970."""
        return self._changed(starts, 1)

    def minus(self, starts: Iterable[int]) -> Spread:
        """Return the spread without some sessions."""
        return self._changed(starts, -1)

    def _changed(self, starts: Iterable[int], step: int) -> Spread:
        counts = Counter(dict(self.counts))
        for start in starts:
            counts[start // (self.width * _MICROSECONDS)] += step
        return _fitted(self.width, {slot: count for slot, count in counts.items() if count > 0})

    @property
    def sessions(self) -> int:
        return sum(self.counts.values())

    @property
    def bars(self) -> list[int]:
        """The sessions of every slot from the first to the last, empty ones included."""
        if not self.counts:
            return []
        return [self.counts.get(slot, 0) for slot in range(min(self.counts), max(self.counts) + 1)]

    @property
    def begins(self) -> int | None:
        """When the first slot begins, in seconds since 1970."""
        return min(self.counts) * self.width if self.counts else None

    def to_dict(self) -> dict[str, Any]:
        return {"width": self.width, "counts": {str(slot): count for slot, count in sorted(self.counts.items())}}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Spread:
        return cls(stored["width"], {int(slot): count for slot, count in stored["counts"].items()})


def _fitted(width: int, counts: Mapping[int, int]) -> Spread:
    """Return the counts at the finest width at which they span no more than SLOTS."""
    for coarser in WIDTHS[WIDTHS.index(width) :]:
        merged = _merged(counts, coarser // width)
        if not merged or max(merged) - min(merged) < SLOTS:
            return Spread(coarser, merged)
    oldest = max(merged) - SLOTS + 1  # a clock that was years wrong: what is older stands in the first slot
    return Spread(WIDTHS[-1], _summed((max(slot, oldest), count) for slot, count in merged.items()))


def _merged(counts: Mapping[int, int], times: int) -> dict[int, int]:
    return _summed((slot // times, count) for slot, count in counts.items())


def _summed(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    summed: Counter[int] = Counter()
    for slot, count in pairs:
        summed[slot] += count
    return dict(summed)
