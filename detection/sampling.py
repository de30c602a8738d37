"""Which positives of a version are put before experts to prove it: Poisson sampling by keyed lots.

Each session enters by its own lot, whoever comes before or after it. The inclusion probability is decided from counts
alone, before the lots are drawn, and stored with every session that enters: `detection.proof` weighs by its inverse.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ENTER = "enter"
_SECOND = "second"


@dataclass(frozen=True, slots=True)
class SamplingPolicy:
    """Stored with every draw, so that it can be replayed."""

    version: int = 1
    target: int = 50  # sessions per version and day
    second_share: float = 0.2  # of the sessions drawn: these are answered by two experts

    def __post_init__(self) -> None:
        if self.target < 1:
            raise ValueError(f"target: expected at least 1, got {self.target}")
        if not 0.0 <= self.second_share <= 1.0:
            raise ValueError(f"second_share: expected 0 to 1, got {self.second_share}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def inclusion_probability(expected: int, policy: SamplingPolicy) -> float:
    """Return the probability by which each of a day's positives enters: target / expected.

    Fewer than twice the target are all taken (census): half of a few saves nobody's time."""
    return 1.0 if expected < 2 * policy.target else policy.target / expected


def draw(key: bytes, scope: str, subjects: Sequence[str], probability: float) -> NDArray[np.bool_]:
    """Return which subjects enter, each by its own lot: the same key, scope and subjects give the same answer.

    `scope` names the draw ("http-attacks:7|2026-11-21"), so that two versions and two days draw apart."""
    if not 0.0 < probability <= 1.0:
        raise ValueError(f"an inclusion probability is above 0 and at most 1, not {probability}")
    return np.array([lot(key, _ENTER, scope, subject) < probability for subject in subjects], dtype=np.bool_)


def needs_second(key: bytes, scope: str, subject: str, policy: SamplingPolicy) -> bool:
    """Say whether a drawn subject is answered by two experts; decided by another lot than the one it entered by."""
    return lot(key, _SECOND, scope, subject) < policy.second_share


def lot(key: bytes, purpose: str, scope: str, subject: str) -> float:
    """Return a number in [0, 1): HMAC-SHA256, so that nobody who chooses traffic can choose what is looked at."""
    if not key:
        raise ValueError("a draw needs a secret key")
    message = json.dumps([purpose, scope, subject]).encode()
    return (int.from_bytes(hmac.digest(key, message, "sha256")[:8], "big") >> 11) / 2.0**53
