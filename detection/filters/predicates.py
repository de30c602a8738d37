"""A filter with its names looked up and its values typed: what the compiler works on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Network, IPv6Network

from detection.filters.fields import Field
from detection.filters.looks import Look

Network = IPv4Network | IPv6Network


class Op(Enum):
    EQUAL = "=="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    LIKE = "~"
    AMONG = "in"
    WITHIN = "within"  # an address in a network
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class FieldTest:
    """A value of the session, of any of its rule hits, or of its segment."""

    field: Field
    op: Op
    value: str | int | Network | tuple[str | int, ...] | None  # times: microseconds since 1970 UTC


@dataclass(frozen=True, slots=True)
class ScoreTest:
    """A score of a version, 0 to 1. Sessions it did not score fail."""

    version: str
    op: Op  # EQUAL, LESS ... AT_LEAST, MISSING
    value: float | None


@dataclass(frozen=True, slots=True)
class VerdictTest:
    """Whether a version says positive, or negative. Sessions it did not score fail."""

    version: str
    positive: bool


@dataclass(frozen=True, slots=True)
class RulesTest:
    """The rule verdict a version's scoring saw: detection.rules.RuleVerdict."""

    version: str
    verdict: int


@dataclass(frozen=True, slots=True)
class LabelTest:
    """The settled answer about a session for a detector; None: there is none."""

    detector: str
    answer: str | None


@dataclass(frozen=True, slots=True)
class LookTest:
    """Whether the session looks like others."""

    look: Look


@dataclass(frozen=True, slots=True)
class Not:
    child: Predicate


@dataclass(frozen=True, slots=True)
class And:
    """Of none: everything passes."""

    children: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Of none: nothing passes."""

    children: tuple[Predicate, ...]


Predicate = FieldTest | ScoreTest | VerdictTest | RulesTest | LabelTest | LookTest | Not | And | Or


def conjuncts(predicate: Predicate) -> tuple[Predicate, ...]:
    """Return predicates that all must hold: the predicate itself, or what it joins by “and”."""
    if isinstance(predicate, And):
        return tuple(inner for child in predicate.children for inner in conjuncts(child))
    return (predicate,)
