"""Which look-alikes of a group verdict are kept to be answered singly: a small random check inside the group."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import ceil
from random import Random
from typing import Any


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """Stored with every group verdict. A lone look-alike is not kept: nothing would be left to inherit."""

    version: int = 1
    share: float = 0.05  # of the look-alikes
    least: int = 1
    most: int = 5
    smallest_group: int = 2  # look-alikes beside the one on screen, from which on some are kept

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ValueError(f"share: expected 0 to 1, got {self.share}")
        if not 0 <= self.least <= self.most:
            raise ValueError(f"least, most: expected 0 <= least <= most, got {self.least}, {self.most}")

    def checks(self, others: int, kept: int = 0) -> int:
        """Return how many of a group's look-alikes to keep: min(most, max(least, share), all but one).

        `kept` more were kept by an earlier verdict on the group, and are not answered yet: they serve for this one."""
        if others + kept < self.smallest_group:
            return 0
        wanted = min(self.most, max(self.least, ceil(self.share * (others + kept))))
        return max(min(wanted - kept, others - 1), 0)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def draw_checks(others: Iterable[int], policy: CheckPolicy, lots: Random, kept: int = 0) -> frozenset[int]:
    """Draw the look-alikes that are kept, each with the same chance. The same lots draw the same ones."""
    ordered = sorted(others)
    return frozenset(lots.sample(ordered, policy.checks(len(ordered), kept)))
