"""The alert budget: which surprise, in nats, so many entity-periods a day exceed. Learnt from recent surprises."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.adaptive.policy import POLICY, Floats, Policy

COLD, TAIL, EMPIRICAL = "cold", "tail", "empirical"


@dataclass(frozen=True, slots=True)
class Calibration:
    """Decayed surprises of positive values: h [surprise_bins], entity-periods and days behind them."""

    h: Floats
    entity_periods: float = 0.0
    days: float = 0.0

    @classmethod
    def fresh(cls, policy: Policy = POLICY) -> Calibration:
        return cls(np.zeros(policy.surprise_bins))

    def added(self, surprises: Any, entity_periods: float, policy: Policy = POLICY) -> Calibration:
        """Return it after a day: surprises of its positive values, and all entity-periods scored, zeros included."""
        today = np.bincount(surprise_bin(surprises, policy), minlength=policy.surprise_bins)
        return self.counted(today, entity_periods, policy)

    def counted(self, today: Any, entity_periods: float, policy: Policy = POLICY) -> Calibration:
        """Return it after a day whose surprises are counted already, [surprise_bins]."""
        decay = 0.5 ** (1 / policy.calibration_half_life)
        return Calibration(decay * self.h + today, decay * self.entity_periods + entity_periods, decay * self.days + 1)

    def without(self, surprise: float, days_ago: int, policy: Policy = POLICY) -> Calibration:
        """Return it without one surprise: an analyst confirmed the alert, so it says nothing of the ordinary."""
        h = self.h.copy()
        place = int(surprise_bin([surprise], policy)[0])
        h[place] = max(0.0, h[place] - 0.5 ** (days_ago / policy.calibration_half_life))
        return Calibration(h, self.entity_periods, self.days)


@dataclass(frozen=True)
class Fit:
    """Where the budget cuts. s: surprises in nats; zeta: shares of entity-periods."""

    mode: str
    zeta_target: float
    s_star: float  # alerts lie above
    s_u: float  # the tail beyond is exponential with mean `hill`
    zeta_u: float
    hill: float
    share: Floats  # of entity-periods at or above each bin's edge, [surprise_bins + 1]
    width: float

    @property
    def q(self) -> float:
        """The tail probability that is the threshold."""
        return math.exp(-self.s_star)

    @property
    def everything_alerts(self) -> bool:
        """Whether there are fewer positive values a day than the budget: warn, and set a smaller one."""
        return self.zeta_target >= 1

    def probability(self, s: Any) -> Floats:
        """Return the calibrated share of entity-periods that are as surprising."""
        surprises = np.asarray(s, float)
        if self.mode == COLD:
            cold: Floats = np.exp(-surprises)
            return cold
        place = np.clip(np.floor(surprises / self.width), 0, len(self.share) - 2).astype(np.int64)
        within = self.share[place] + (surprises / self.width - place) * (self.share[place + 1] - self.share[place])
        beyond = self.zeta_u * np.exp(-(surprises - self.s_u) / self.hill)
        result: Floats = np.where(surprises >= self.s_u, beyond, within)
        return result

    def score(self, s: Any, v: Any = 1.0) -> Floats:
        """Return 0 to 100: 50 at the threshold, 100 at the square of its probability; 0 for v = 0."""
        positive = np.asarray(v, float) > 0
        if self.everything_alerts:
            return np.where(positive, 100.0, 0.0)
        p = np.maximum(self.probability(s), math.exp(-690.0))
        # probabilities above 1 cannot be: sums of a decayed histogram may round there
        result: Floats = np.where(positive, np.clip(50 * np.log(p) / math.log(self.zeta_target), 0, 100), 0.0)
        return result


def surprise_bin(s: Any, policy: Policy = POLICY) -> Any:
    surprises = np.minimum(np.asarray(s, float), policy.largest_surprise)
    return np.minimum(np.floor(surprises / policy.surprise_width).astype(np.int64), policy.surprise_bins - 1)


def fit(calibration: Calibration, budget: float, policy: Policy = POLICY) -> Fit:
    """Return where so many alerts a day are cut. Raises ValueError for a budget of nothing."""
    if budget <= 0:
        raise ValueError(f"budget: expected more than 0 alerts a day, got {budget}")
    total = calibration.entity_periods
    if total <= 0:
        return _cold(budget, 1.0, policy)
    target = budget / (total / calibration.days)
    above = np.concatenate([np.cumsum(calibration.h[::-1])[::-1], [0.0]])
    enough = np.flatnonzero(above[:-1] >= max(policy.least_tail, policy.least_tail_share * total))
    if not len(enough):
        return _cold(target, total, policy)
    width, j = policy.surprise_width, int(enough[-1])
    edge, zeta_u = width * j, float(above[j]) / total
    middles = (np.arange(j, policy.surprise_bins) + 0.5) * width - edge
    hill = float((calibration.h[j:] * middles).sum() / above[j])
    hill = min(max(hill, policy.hill_low), policy.hill_high)
    share = above / total
    if target < zeta_u:
        return Fit(TAIL, target, edge + hill * math.log(zeta_u / target), edge, zeta_u, hill, share, width)
    reached = np.flatnonzero(share[:-1] >= target)
    cut = 0.0
    if len(reached):
        k = int(reached[-1])
        cut = width * (k + (float(share[k]) - target) / float(share[k] - share[k + 1]))
    return Fit(EMPIRICAL, target, cut, edge, zeta_u, hill, share, width)


def _cold(target: float, total: float, policy: Policy) -> Fit:
    nothing = np.zeros(policy.surprise_bins + 1)
    return Fit(COLD, target, -math.log(min(target, 1.0)), 0.0, 1.0, 1.0, nothing, policy.surprise_width)
