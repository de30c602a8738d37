"""A filter as it was written: names and values not looked up yet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MOST_CHARACTERS = 8_000
MOST_TESTS = 500
DEEPEST = 50  # brackets and negations inside each other


class Relation(Enum):
    EQUAL = "=="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    LIKE = "~"  # glob: * and ?
    AMONG = "in"


class Form(Enum):
    """How a value was written."""

    QUOTED = "quoted text"
    WORD = "word"
    NUMBER = "number"
    ADDRESS = "address"
    MOMENT = "time"
    AGO = "time before now"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class Value:
    text: str  # without quotes and escapes
    form: Form
    column: int  # where it stands, from 1


@dataclass(frozen=True, slots=True)
class Name:
    """`http.url`, or `model("ktalk:3").score` with argument and part."""

    text: str
    column: int
    argument: str | None = None
    part: str = ""
    argument_column: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    name: Name
    relation: Relation
    values: tuple[Value, ...]  # one, or several for AMONG


@dataclass(frozen=True, slots=True)
class Negated:
    child: Node


@dataclass(frozen=True, slots=True)
class Every:
    """All of them; of none: everything."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Either:
    children: tuple[Node, ...]


Node = Comparison | Negated | Every | Either
EVERYTHING = Every(())
