"""What one period is worth as evidence of a change.

An e-value has mean 1 at most whatever odds ratio up to `delta` is true, so shifts within the tolerance never add up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import gammaln

from detection.divergence.null import odds_shift
from detection.divergence.policy import FLOAT_LIMIT, POLICY, Floats, Policy


def log_e_values(x: Any, n: Any, mu: Any, phi: Any, policy: Policy = POLICY) -> tuple[Floats, Floats]:
    """Return ln e_up and ln e_down of each period; 0 where n is 0. Counts above `most_trials` must be scaled before."""
    successes, trials, means, precision = np.broadcast_arrays(
        *(np.asarray(values, float) for values in (x, n, mu, phi))
    )
    sides = []
    for sign in (1, -1):
        null = _log_weight(successes, trials, odds_shift(means, policy.delta**sign), precision)
        bets = [_log_weight(successes, trials, odds_shift(means, r**sign), precision) - null for r in policy.ratios]
        sides.append(np.asarray(np.logaddexp.reduce(bets, axis=0) - math.log(len(bets))))
    return sides[0], sides[1]


def _log_weight(x: Floats, n: Floats, mu: Floats, phi: Floats) -> Floats:
    """Return ln pmf but for what does not depend on mu."""
    a, b = phi * mu, phi * (1 - mu)
    weight: Floats = gammaln(x + a) + gammaln(n - x + b) - gammaln(a) - gammaln(b)
    return weight


def plain(log: Floats) -> Floats:
    """Return exp of logarithms as numbers that JSON can hold."""
    result: Floats = np.exp(np.minimum(log, math.log(FLOAT_LIMIT)))
    return result
