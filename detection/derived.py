"""Numbers of a session that are derived from its columns before the graph reads it: part of a contract, as values.

ONNX cannot subtract microseconds since 1970 as float32, hash a text or look at a fixed place of one, so these few
recipes stand beside the graph. Encoding at home and at the customer runs this code; a client that is no Python finds
the whole recipe in the contract.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

NAN = float("nan")
_LONGEST = 128


@dataclass(frozen=True, slots=True)
class Span:
    """The time from one column to another; negative when they come the other way round."""

    name: str
    first: str
    last: str
    unit: int  # microseconds

    @property
    def columns(self) -> tuple[str, ...]:
        return self.first, self.last

    def of(self, first: int | None, last: int | None) -> float:
        return NAN if first is None or last is None else (last - first) / self.unit


@dataclass(frozen=True, slots=True)
class Code:
    """A part of a text (of its first 128 characters) as 24 bits, the high ones of a CRC-32: equal parts, equal numbers.

    A float32 holds 24 bits exactly, so two cuts of a tree single out one value."""

    name: str
    column: str
    separator: str = ""  # between the parts; none: the whole text is one
    part: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def of(self, text: str | None) -> float:
        return _code(text[:_LONGEST], self.separator, self.part) if text else NAN

    def coded(self, text: str | None) -> str | None:
        """Return what stands behind the number."""
        return _part(text[:_LONGEST], self.separator, self.part) if text else None


@dataclass(frozen=True, slots=True)
class Figure:
    """Decimal digits at a fixed place of a text."""

    name: str
    column: str
    start: int
    stop: int

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def of(self, text: str | None) -> float:
        return _figure(text[: self.stop], self.start) if text else NAN


@dataclass(frozen=True, slots=True)
class Parts:
    """How many parts a text has; an empty text has none."""

    name: str
    column: str
    separator: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def of(self, text: str | None) -> float:
        return NAN if text is None else text.count(self.separator) + 1 if text else 0


@dataclass(frozen=True, slots=True)
class Same:
    """1 where two texts are equal, 0 where they differ."""

    name: str
    left: str
    right: str

    @property
    def columns(self) -> tuple[str, ...]:
        return self.left, self.right

    def of(self, left: str | None, right: str | None) -> float:
        return NAN if left is None or right is None else float(left == right)


# fingerprints repeat; what an attacker makes up pushes out the oldest only
@lru_cache(maxsize=1 << 12)
def _code(text: str, separator: str, part: int) -> float:
    coded = _part(text, separator, part)
    return zlib.crc32(coded.encode("utf-8", "surrogatepass")) >> 8 if coded else NAN


def _part(text: str, separator: str, part: int) -> str:
    if not separator:
        return text
    parts = text.split(separator, part + 1)
    return parts[part] if part < len(parts) else ""


@lru_cache(maxsize=1 << 12)
def _figure(text: str, start: int) -> float:
    digits = text[start:]
    return int(digits) if digits.isascii() and digits.isdecimal() else NAN


Derived = Span | Code | Figure | Parts | Same
_KINDS: dict[str, type[Derived]] = {kind.__name__.lower(): kind for kind in (Span, Code, Figure, Parts, Same)}


def to_values(derived: Sequence[Derived]) -> list[dict[str, Any]]:
    """Return recipes as plain values; `from_values` reads them back."""
    return [{"kind": type(one).__name__.lower(), **asdict(one)} for one in derived]


def from_values(values: Sequence[dict[str, Any]]) -> tuple[Derived, ...]:
    return tuple(_KINDS[one["kind"]](**{key: one[key] for key in one if key != "kind"}) for one in values)
