"""Which looks are spoken about in opposite ways, and by whom: ranked, so that ten a day are worth a second look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Side(Enum):
    """Who contradicts."""

    EXPERTS = "experts"  # items of one look settled in opposite ways
    CUSTOMERS = "customers"  # a complaint says the opposite of what experts say
    VERSIONS = "versions"  # a version is wrong on a row of the reference set
    NEIGHBOURS = "neighbours"  # the nearest labelled session has the opposite answer
    RULES = "rules"  # rules of the detector's class hit what experts call negative


@dataclass(frozen=True, slots=True)
class ContradictionPolicy:
    """Stored with every contradiction. Weights say whose word is the more surprising."""

    version: int = 1
    customers: float = 4.0
    experts: float = 3.0
    versions: float = 2.0
    neighbours: float = 1.5
    rules: float = 1.0
    per_day: int = 10  # per detector
    rest_days: int = 14  # a look somebody saw to does not come back before

    def weight(self, side: Side) -> float:
        return float(getattr(self, side.value))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Clash:
    """One reason to doubt what is said of a look. `item` is the case to look at."""

    shape: str
    side: Side
    strength: float  # 0 to 1
    item: int
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A look with all reasons to doubt it, the strongest first."""

    shape: str
    strength: float
    clashes: tuple[Clash, ...]


def rank(clashes: Iterable[Clash], policy: ContradictionPolicy) -> list[Contradiction]:
    """Return the strongest contradictions: the sum over sides of weight times the strongest clash of that side."""
    by_shape: dict[str, dict[Side, Clash]] = defaultdict(dict)
    for clash in clashes:
        known = by_shape[clash.shape].get(clash.side)
        if known is None or (clash.strength, -clash.item) > (known.strength, -known.item):
            by_shape[clash.shape][clash.side] = clash
    found = [_contradiction(shape, list(sides.values()), policy) for shape, sides in by_shape.items()]
    return sorted(found, key=lambda one: (-one.strength, one.shape))[: policy.per_day]


def _contradiction(shape: str, clashes: list[Clash], policy: ContradictionPolicy) -> Contradiction:
    ordered = sorted(clashes, key=lambda one: (-policy.weight(one.side) * one.strength, one.side.value))
    return Contradiction(shape, sum(policy.weight(one.side) * one.strength for one in ordered), tuple(ordered))


def balance(one: int, other: int) -> float:
    """Return how evenly two answers are given: 1 when equally often, near 0 when one stands alone among many."""
    return 2.0 * min(one, other) / (one + other) if one + other else 0.0
