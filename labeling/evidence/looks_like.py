"""Labelled neighbours of an item, with what differs in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from detection.contract import CONTRACTS, Contract
from detection.derived import Code
from detection.features import feature_specs
from detection.neighbours import Difference
from labeling.evidence.contributions import worded
from labeling.models import Answer, Item
from labeling.services import neighbours
from labeling.services.neighbours import Labelled
from models_registry.models import Version

TOLD = 2  # differences of one neighbour
LEAST = 0.05  # of the distance: less is not worth a word


@dataclass(frozen=True, slots=True)
class Words:
    """One difference: "request target: length, bytes", "12", "340". Of codes the numbers say nothing."""

    title: str
    own: str
    other: str
    is_code: bool


@dataclass(frozen=True, slots=True)
class Near:
    """One labelled neighbour as the page shows it."""

    item: Item
    distance: float
    more: int
    differences: Sequence[Words]

    @property
    def is_positive(self) -> bool:
        return self.item.outcome == Answer.POSITIVE

    @property
    def width(self) -> float:
        return 100 * self.distance


@dataclass(frozen=True, slots=True)
class LooksLike:
    """The labelled neighbours of an item, nearest first, and the version in whose eyes they are near."""

    version: Version
    near: Sequence[Near]

    @property
    def positive(self) -> int:
        return sum(1 + one.more for one in self.near if one.is_positive)

    @property
    def negative(self) -> int:
        return sum(1 + one.more for one in self.near if not one.is_positive)


def looks_like(item: Item, row: Mapping[str, Any]) -> LooksLike:
    """Return the labelled neighbours of an item. Raises NoIndex, OSError."""
    version, found = neighbours.of_item(item, row)
    return LooksLike(version, [_near(CONTRACTS[version.contract], one) for one in found])


def _near(contract: Contract, found: Labelled) -> Near:
    distance = found.neighbour.distance
    return Near(found.item, distance, found.more, _told(contract, found.neighbour.differences, distance))


def words_of(version: Version, differences: Sequence[Difference], distance: float) -> list[Words]:
    """Return the largest differences between two sessions, as a page says them."""
    return _told(CONTRACTS[version.contract], differences, distance)


def _told(contract: Contract, differences: Sequence[Difference], distance: float) -> list[Words]:
    return [_words(contract, one) for one in differences[:TOLD] if one.part >= LEAST * distance]


def _words(contract: Contract, one: Difference) -> Words:
    spec = next(spec for spec in feature_specs(contract) if spec.name == one.feature)
    is_code = any(derived.name == one.feature for derived in contract.derived if isinstance(derived, Code))
    (title, own), (_title, other) = (worded(spec.name, spec.title, value) for value in (one.own, one.other))
    return Words(title, own, other, is_code)
