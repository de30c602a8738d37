"""The whole fleet: how many false incidents it may raise, its own stream, alarms of many, versions compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import bdtr

from detection.divergence.policy import POLICY, Counts, Floats, Policy

MEASURED_BELOW_BOUND = 20.0  # with mu and phi estimated: specification, section 7; benchmarks/divergence_methods.py


def between_false_alarms(streams: int, per_week: float, policy: Policy = POLICY) -> float:
    """Return A for a whole fleet that may raise so many false incidents a week. Never below the policy's own A."""
    if per_week <= 0:
        raise ValueError(f"false incidents per week: expected more than 0, got {per_week}")
    return max(policy.between_false_alarms, 7 * streams / (MEASURED_BELOW_BOUND * per_week))


def expected_false_alarms(streams: int, between: float) -> tuple[float, float]:
    """Return false alarms a week of so many streams at A: at most, and as measured."""
    most = 7 * streams / between
    return most, most / MEASURED_BELOW_BOUND


def fleet_volume(totals: Sequence[int] | Counts) -> float:
    """Return V from the trials of the whole fleet in each of its learning periods."""
    return float(np.mean(totals)) if len(totals) else 0.0


def fleet_counts(x: Counts, n: Counts, volume: float) -> tuple[int, int]:
    """Return one period of a fleet's own stream: no customer counts for more than a tenth of the usual volume."""
    share = np.minimum(1.0, np.divide(0.1 * volume, n, out=np.ones(len(n)), where=n > 0))
    return int(np.rint(x * share).sum()), int(np.rint(n * share).sum())


# ---- alarms of many


@dataclass(frozen=True, slots=True)
class Together:
    """Customers whose streams of one version went the same way within a week."""

    version: int
    upward: bool
    customers: tuple[int, ...]


def together(
    version: Any, customer: Any, upward: Any, customers_on: Mapping[int, int], policy: Policy = POLICY
) -> list[Together]:
    """Return the versions that deserve an incident of the fleet.

    version, customer, upward: one entry for each alarm of the last `together_within` periods, of one kind of stream.
    customers_on: how many customers each version has."""
    found: dict[tuple[int, bool], set[int]] = {}
    for one, who, up in zip(version, customer, upward, strict=True):
        found.setdefault((int(one), bool(up)), set()).add(int(who))
    return [
        Together(one, up, tuple(sorted(customers)))
        for (one, up), customers in sorted(found.items())
        if len(customers) >= max(policy.together, policy.together_share * customers_on[one])
    ]


# ---- a silent version beside the active one


@dataclass(frozen=True, slots=True)
class Compared:
    """Two versions on the same items."""

    only_a: int
    only_b: int
    p: float  # that they flag equally often

    @property
    def more(self) -> str:
        """Which one flags more: "a", "b" or neither."""
        return "" if self.only_a == self.only_b else "a" if self.only_a > self.only_b else "b"


def compare(only_a: int, only_b: int) -> Compared:
    return Compared(only_a, only_b, float(mcnemar(only_a, only_b)))


def mcnemar(only_a: Any, only_b: Any) -> Floats:
    """Return exact two-sided p-values that two versions flag equally often, from items only one of them flags."""
    one, other = np.asarray(only_a, np.int64), np.asarray(only_b, np.int64)
    if (one < 0).any() or (other < 0).any():
        raise ValueError(f"counts are 0 or more, got {only_a} and {only_b}")
    # the binomial of 1/2 is symmetric: both tails are the smaller one twice
    p: Floats = np.minimum(2 * bdtr(np.minimum(one, other).astype(float), one + other, 0.5), 1.0)
    return p
