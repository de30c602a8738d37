"""The whole fleet: how many false incidents it may raise, the counts of its own stream; and two versions compared."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr

from detection.divergence.policy import POLICY, Counts, Policy

MEASURED_BELOW_BOUND = 20.0  # with mu and phi estimated: specification, section 7; benchmarks/divergence_methods.py


def between_false_alarms(streams: int, per_week: float, policy: Policy = POLICY) -> float:
    """Return A for a whole fleet that may raise so many false incidents a week. Never below the policy's own A."""
    if per_week <= 0:
        raise ValueError(f"false incidents per week: expected more than 0, got {per_week}")
    return max(policy.between_false_alarms, 7 * streams / (MEASURED_BELOW_BOUND * per_week))


def fleet_counts(x: Counts, n: Counts, volume: float) -> tuple[int, int]:
    """Return one period of a fleet's own stream: no customer counts for more than a tenth of the usual volume."""
    share = np.minimum(1.0, np.divide(0.1 * volume, n, out=np.ones(len(n)), where=n > 0))
    return int(np.rint(x * share).sum()), int(np.rint(n * share).sum())


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p-value that two versions flag equally often, from items only one of them flags."""
    if only_a < 0 or only_b < 0:
        raise ValueError(f"counts are 0 or more, got {only_a} and {only_b}")
    # the binomial of 1/2 is symmetric: both tails are the smaller one twice
    return min(2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)), 1.0)
