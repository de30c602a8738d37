"""What a recipe of features is made of: classes of bytes, groups of strings, ratios, and the words for them.

One recipe per contract; `features` writes the graph that follows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CONTROL = (*range(1, 0x20), 0x7F)


@dataclass(frozen=True, slots=True)
class ByteClass:
    name: str
    title: str
    members: frozenset[int]


@dataclass(frozen=True, slots=True)
class NeedleGroup:
    name: str
    title: str
    needles: tuple[bytes, ...]


def byte_class(name: str, title: str, members: str | range) -> ByteClass:
    return ByteClass(name, title, frozenset(map(ord, members) if isinstance(members, str) else members))


def group(name: str, title: str, *needles: str) -> NeedleGroup:
    return NeedleGroup(name, title, tuple(needle.encode() for needle in needles))


@dataclass(frozen=True, slots=True)
class Ratio:
    """One number of the contract divided by another."""

    name: str
    title: str
    above: str
    below: str


@dataclass(frozen=True)
class Recipe:
    """What is counted in the sessions of one contract."""

    titles: Mapping[str, str]  # of texts, number columns and derived numbers
    histograms: tuple[str, ...]  # the first texts of the contract, in its order: shares of classes and sameness
    classes: tuple[ByteClass, ...]  # counted in each histogram text, divided by its bytes
    needles: Mapping[str, tuple[NeedleGroup, ...]]
    single_bytes: Mapping[str, tuple[ByteClass, ...]]  # per text classes without a common byte
    ratios: tuple[Ratio, ...] = field(default=())
