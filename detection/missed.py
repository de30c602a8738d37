"""What a random sample of a version's negatives shows about what it misses.

The share asked for is that of positive sessions among all that the version let pass. Negatives are drawn by strata
(`detection.sampling.strata`), each estimated apart and weighed by its own counted sessions:

    share     = sum over strata of N_h e_h / sum of N_h            (e_h: Hajek estimate of the stratum)
    interval  = sum over strata of N_h L_h / N  to  sum of N_h U_h / N

U_h is the upper bound of `detection.proof` (larger of sessions and clusters, over hosts and domains), L_h the same of
the complement, both at error 0.05 / 2 H for H strata (Bonferroni): the interval holds at least 95 times in 100 even
where all misses lie in one stratum. A stratum without answers says 0 to 1. Undecided is missed in the upper end, found
clean in the lower one, and no miss in the point: the interval is wide by nature.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from detection import proof
from detection.proof import ProofRow

ERROR = 0.05  # two-sided


@dataclass(frozen=True, slots=True)
class MissedRow:
    """One answered session that the version let pass."""

    probability: float  # by which it entered
    missed: bool
    undecided: bool
    host: str
    domain: str


@dataclass(frozen=True, slots=True)
class Stratum:
    """Negatives of one score band and rule verdict: all that were counted, and those answered."""

    name: str
    sessions: int
    rows: Sequence[MissedRow]


@dataclass(frozen=True, slots=True)
class StratumFigures:
    """What the answers of one stratum show."""

    name: str
    sessions: int
    labels: int
    missed: int
    undecided: int
    share: float | None  # None: no answer
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class MissedShare:
    """Positive sessions among those a version let pass: point and interval, as a share and in sessions."""

    sessions: int
    labels: int
    missed: int
    undecided: int
    share: float | None  # None while the answers of any stratum are missing
    low: float
    high: float
    strata: tuple[StratumFigures, ...]

    @property
    def estimated(self) -> float | None:
        """Sessions missed, by the point."""
        return None if self.share is None else self.share * self.sessions

    @property
    def at_least(self) -> int:
        """Sessions missed, rounded to what surely holds: down here, up in `at_most`."""
        return floor(self.low * self.sessions)

    @property
    def at_most(self) -> int:
        return ceil(self.high * self.sessions)

    def to_dict(self) -> dict[str, Any]:
        figures = {name: getattr(self, name) for name in self.__slots__ if name != "strata"}
        return figures | {"strata": [{name: getattr(one, name) for name in one.__slots__} for one in self.strata]}


def missed_share(strata: Sequence[Stratum]) -> MissedShare | None:
    """Return what the strata together show; None without any session or any answer."""
    filled = [stratum for stratum in strata if stratum.sessions]
    if not any(stratum.rows for stratum in filled):
        return None
    confidence = 1.0 - ERROR / 2 / len(filled)
    found = tuple(_figures(stratum, confidence) for stratum in filled)
    total = sum(one.sessions for one in found)
    shares = [one.share for one in found if one.share is not None]
    return MissedShare(
        sessions=total,
        labels=sum(one.labels for one in found),
        missed=sum(one.missed for one in found),
        undecided=sum(one.undecided for one in found),
        share=sum(s * one.sessions for s, one in zip(shares, found, strict=True)) / total
        if len(shares) == len(found)
        else None,
        low=sum(one.low * one.sessions for one in found) / total,
        high=sum(one.high * one.sessions for one in found) / total,
        strata=found,
    )


def _figures(stratum: Stratum, confidence: float) -> StratumFigures:
    rows = stratum.rows
    share, low, high = None, 0.0, 1.0
    if rows:
        share = _rate([row.missed for row in rows], rows)
        high = proof.upper_bound(_as_proof([row.missed or row.undecided for row in rows], rows), confidence)
        low = 1.0 - proof.upper_bound(_as_proof([not row.missed for row in rows], rows), confidence)
    return StratumFigures(
        name=stratum.name,
        sessions=stratum.sessions,
        labels=len(rows),
        missed=sum(row.missed for row in rows),
        undecided=sum(row.undecided for row in rows),
        share=share,
        low=low,
        high=high,
    )


def _rate(hits: Sequence[bool], rows: Sequence[MissedRow]) -> float:
    weights = [1.0 / row.probability for row in rows]
    return sum(weight for weight, hit in zip(weights, hits, strict=True) if hit) / sum(weights)


def _as_proof(wrong: Sequence[bool], rows: Sequence[MissedRow]) -> list[ProofRow]:
    return [ProofRow(row.probability, bad, row.host, row.domain) for row, bad in zip(rows, wrong, strict=True)]
