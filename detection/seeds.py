"""Which settled cases are put before an expert once more, blind: by keyed lots, so that nobody can foresee one.

Each item an expert is about to be given has a lot of its own; where it falls, a seed is given instead, and the item
after it. The same key, expert and item give the same answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from detection.sampling import lot

_DUE = "seed"
_CHOICE = "seed-choice"


@dataclass(frozen=True, slots=True)
class SeedPolicy:
    """Stored with every seed."""

    version: int = 1
    share: float = 0.04  # of the items that an expert is given
    window_days: int = 14  # cases younger than that: older ones would show by their dates
    ready: int = 5  # seeds that wait per expert and queue

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 0.2:
            raise ValueError(f"share: expected 0 to 0.2, got {self.share}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def is_due(key: bytes, expert: int, item: int, policy: SeedPolicy) -> bool:
    """Say whether the expert is given a seed before this item."""
    return lot(key, _DUE, str(expert), str(item)) < policy.share


def choose(key: bytes, expert: int, items: Iterable[int], count: int) -> list[int]:
    """Return so many of the items, in the order of their lots for this expert."""
    return sorted(items, key=lambda item: lot(key, _CHOICE, str(expert), str(item)))[:count]
