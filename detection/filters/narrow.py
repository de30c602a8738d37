"""What a filter says about whole segments, so that the file list may be short before a file is opened."""

from __future__ import annotations

from dataclasses import dataclass

from detection.filters.fields import Place
from detection.filters.predicates import FieldTest, Op, Predicate, conjuncts


@dataclass(frozen=True, slots=True)
class Narrowed:
    """Only sessions within these can pass. Times in microseconds since 1970 UTC, both inclusive."""

    since: int | None = None
    until: int | None = None
    sensors: frozenset[str] | None = None
    protocol: str | None = None


def narrow(predicate: Predicate) -> Narrowed:
    """Return bounds that every passing session keeps; looks only at tests joined by “and”."""
    lows: list[int] = []
    highs: list[int] = []
    sensors: frozenset[str] | None = None
    protocol: str | None = None
    for test in conjuncts(predicate):
        if not isinstance(test, FieldTest):
            continue
        value = test.value
        if test.field.name == "start" and isinstance(value, int):
            if test.op in (Op.MORE, Op.AT_LEAST, Op.EQUAL):
                lows.append(value)
            if test.op in (Op.LESS, Op.AT_MOST, Op.EQUAL):
                highs.append(value)
        elif test.field.place is Place.SEGMENT and test.op in (Op.EQUAL, Op.AMONG):
            named = frozenset(map(str, value if isinstance(value, tuple) else (value,)))
            sensors = named if sensors is None else sensors & named
        elif test.op is Op.EQUAL and (test.field.protocol or test.field.name == "protocol"):
            protocol = test.field.protocol or str(value)
    return Narrowed(max(lows, default=None), min(highs, default=None), sensors, protocol)
