"""Which sessions of a version are put before experts to prove it: Poisson sampling by keyed lots.

Each session enters by its own lot, whoever comes before or after it. The inclusion probability is decided from counts
alone, before the lots are drawn, and stored with every session that enters: `detection.proof` weighs by its inverse.

Positives have a lot each, by what they are. Negatives are a thousand times as many: theirs come from one keyed stream
per file, day and stratum. A stratum is a band of scores and a rule verdict: misses are rare where scores are low, and
most sessions are there.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.rules import RuleVerdict
from detection.thresholds import raw_threshold

_ENTER = "enter"
_SECOND = "second"


@dataclass(frozen=True, slots=True)
class SamplingPolicy:
    """Stored with every draw, so that it can be replayed."""

    version: int = 2
    target: int = 50  # positives per version and day
    missed_target: int = 5  # negatives per version, day and stratum; 0: none are drawn
    second_share: float = 0.2  # of the sessions drawn: these are answered by two experts

    def __post_init__(self) -> None:
        if self.target < 1:
            raise ValueError(f"target: expected at least 1, got {self.target}")
        if self.missed_target < 0:
            raise ValueError(f"missed_target: expected at least 0, got {self.missed_target}")
        if not 0.0 <= self.second_share <= 1.0:
            raise ValueError(f"second_share: expected 0 to 1, got {self.second_share}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def inclusion_probability(expected: int, target: int) -> float:
    """Return the probability by which each of a day's sessions enters: target / expected.

    Fewer than twice the target are all taken (census): half of a few saves nobody's time."""
    return 1.0 if expected < 2 * target else target / expected


def draw(key: bytes, scope: str, subjects: Sequence[str], probability: float) -> NDArray[np.bool_]:
    """Return which subjects enter, each by its own lot: the same key, scope and subjects give the same answer.

    `scope` names the draw ("http-attacks:7|2026-11-21"), so that two versions and two days draw apart."""
    if not 0.0 < probability <= 1.0:
        raise ValueError(f"an inclusion probability is above 0 and at most 1, not {probability}")
    return np.array([lot(key, _ENTER, scope, subject) < probability for subject in subjects], dtype=np.bool_)


def draw_many(key: bytes, scope: str, count: int, probability: float) -> NDArray[np.bool_]:
    """Return which of so many sessions in a row enter, by one keyed stream of lots (PCG64 seeded by HMAC-SHA256).

    `scope` names the draw and the bytes it is drawn from, so that equal numbers of other files draw apart."""
    if not 0.0 < probability <= 1.0:
        raise ValueError(f"an inclusion probability is above 0 and at most 1, not {probability}")
    stream = np.random.PCG64(int.from_bytes(_digest(key, _ENTER, scope, ""), "big"))
    return np.asarray((stream.random_raw(count) >> np.uint64(11)) / 2.0**53 < probability)


BANDS = (("low", 0.0), ("middle", 0.1), ("high", 0.5))  # of scores below the threshold: from this part of it on


def strata(raw: NDArray[np.float64], rules: NDArray[np.int8], threshold: float) -> dict[str, NDArray[np.bool_]]:
    """Return the strata of negatives that are not empty, each with the rows in it: a band of scores and a rule verdict.

    `raw` and `rules` are of negatives only."""
    edges = [raw_threshold(part * threshold) for _name, part in BANDS[1:]]
    band = np.searchsorted(edges, raw, side="right")
    found = {}
    for verdict in RuleVerdict:
        for number, (name, _part) in enumerate(BANDS):
            rows = (rules == verdict.value) & (band == number)
            if rows.any():
                found[f"{verdict.name.lower()}/{name}"] = rows
    return found


def needs_second(key: bytes, scope: str, subject: str, policy: SamplingPolicy) -> bool:
    """Say whether a drawn subject is answered by two experts; decided by another lot than the one it entered by."""
    return lot(key, _SECOND, scope, subject) < policy.second_share


def lot(key: bytes, purpose: str, scope: str, subject: str) -> float:
    """Return a number in [0, 1): HMAC-SHA256, so that nobody who chooses traffic can choose what is looked at."""
    return (int.from_bytes(_digest(key, purpose, scope, subject)[:8], "big") >> 11) / 2.0**53


def _digest(key: bytes, purpose: str, scope: str, subject: str) -> bytes:
    if not key:
        raise ValueError("a draw needs a secret key")
    return hmac.digest(key, json.dumps([purpose, scope, subject]).encode(), "sha256")
