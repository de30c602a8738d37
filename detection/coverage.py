"""Where a reference set is thin: by sensor, family, site and protocol, and by the age of its sessions.

A gate says nothing about what the set does not hold. What is thin is a value of a dimension with few rows of an answer,
or whose newest row of an answer is old."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

POSITIVE = "positive"
NEGATIVE = "negative"
ANSWERS = (POSITIVE, NEGATIVE)
AGES = (7, 30, 90, 365)  # days, upper edges; older rows have a bucket of their own


@dataclass(frozen=True, slots=True)
class CoveragePolicy:
    """Stored with every count."""

    version: int = 1
    fewest_rows: int = 5  # of each answer per value; families have positive rows only
    oldest_days: int = 90  # the newest row of an answer may be so old

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Held:
    """What a set holds of one value and answer: rows, and the day of the newest session."""

    rows: int
    newest: date


@dataclass(frozen=True, slots=True)
class Thin:
    """One thin spot."""

    dimension: str  # sensor, family, source or protocol
    name: str
    answer: str
    rows: int
    newest: date | None  # None: there is no row
    is_old: bool  # enough rows, and none of them is recent


Counts = Mapping[str, Mapping[str, Held]]  # name -> answer -> what is held


def thin_spots(
    held: Mapping[str, Counts], known: Mapping[str, Collection[str]], today: date, policy: CoveragePolicy
) -> list[Thin]:
    """Return the thin spots of a set, the emptiest first.

    `known` names what exists beside what the set holds: sensors that send traffic, families that experts named."""
    oldest = today - timedelta(days=policy.oldest_days)
    found = []
    for dimension, counts in held.items():
        names = sorted(name for name in {*counts, *known.get(dimension, ())} if name)
        for name in names:
            for answer in (POSITIVE,) if dimension == "family" else ANSWERS:
                spot = _spot(dimension, name, answer, counts.get(name, {}).get(answer), oldest, policy)
                if spot is not None:
                    found.append(spot)
    return sorted(found, key=lambda spot: (spot.is_old, spot.rows, spot.dimension, spot.name, spot.answer))


def _spot(
    dimension: str, name: str, answer: str, held: Held | None, oldest: date, policy: CoveragePolicy
) -> Thin | None:
    if held is None:
        return Thin(dimension, name, answer, 0, None, is_old=False)
    if held.rows < policy.fewest_rows:
        return Thin(dimension, name, answer, held.rows, held.newest, is_old=False)
    # an attack does not age as software does: an old family is still that family
    if dimension != "family" and held.newest < oldest:
        return Thin(dimension, name, answer, held.rows, held.newest, is_old=True)
    return None
