"""Thresholds of a detector for one place, a site or a sensor: its own score counts and its alert budget.

The calibration of hosts at risk, with sessions in place of days of entities. How surprising a session is, in nats, is
what its score leaves to the other class:

    s = -ln(1 - score) = ln(1 + exp(raw))

Counted by day in the bins of `detection.score_bins`, decayed by 28 days, the budget finds s* (specification,
section 6), and the threshold is 1 - exp(-s*) = 1 - q. A place is counted by numbers alone: no session leaves it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from detection.adaptive.calibration import COLD, Calibration, Fit, fit, surprise_bin
from detection.adaptive.policy import POLICY, Policy
from detection.score_bins import BINS, WIDTH

# sessions are many and alerts among them few: fifty that were counted carry a tail, whatever share of all they are
PLACES = replace(POLICY, least_tail_share=0.0, surprise_width=WIDTH, surprise_bins=BINS)
LOWEST = 0.5  # of proposals: below it the model itself holds the other class for likelier
HIGHEST = 1 - 1e-6


@dataclass(frozen=True, slots=True)
class PlaceDay:
    """What a place counted of a version on one day: sessions scored, and of them how many in each bin of surprises."""

    sessions: int
    counts: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class PlaceThreshold:
    """What a budget asks of a place. threshold: None while fewer than 50 sessions are known."""

    budget: float  # alerts a day
    sessions: float  # a day
    days: int  # with counts
    threshold: float | None
    fit: Fit

    def counted(self, threshold: float) -> float:
        """Return how many sessions a day stood at or above a threshold, by the counts alone."""
        return _share(self.fit, threshold) * self.sessions

    def expected_at(self, threshold: float) -> float:
        """Alerts a day at a threshold; beyond what was counted often enough, by the tail that was fitted."""
        if threshold <= LOWEST:
            return self.counted(threshold)
        return float(self.fit.probability(surprise_of(threshold))) * self.sessions

    @property
    def expected(self) -> float:
        """Alerts a day at its own threshold."""
        return math.nan if self.threshold is None else self.expected_at(self.threshold)

    @property
    def is_lowest(self) -> bool:
        """Whether the budget allows more than there is to tell."""
        return self.threshold == LOWEST


def score_counts(raw: Any, policy: Policy = PLACES) -> dict[int, int]:
    """Return how many raw sums fall into each bin; those that are no number into none."""
    sums = np.asarray(raw, float)
    places = surprise_bin(np.logaddexp(0, sums[~np.isnan(sums)]), policy)
    found, counts = np.unique(places, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def calibrated(days: Iterable[PlaceDay], policy: Policy = PLACES) -> Calibration:
    """Return the calibration of a place after its days, oldest first. Days without counts are missing."""
    calibration = Calibration.fresh(policy)
    for day in days:
        h = np.zeros(policy.surprise_bins)
        for place, count in day.counts.items():
            h[place] += count
        calibration = calibration.counted(h, day.sessions, policy)
    return calibration


def propose(days: Iterable[PlaceDay], budget: float, policy: Policy = PLACES) -> PlaceThreshold | None:
    """Return the threshold at which a place raises so many alerts a day; None without a day. Oldest day first.

    Rounded up to three digits of what it leaves to 1: people copy it, and it never gives more than the budget."""
    told = list(days)
    calibration = calibrated(told, policy)
    if calibration.entity_periods <= 0:
        return None
    found = fit(calibration, budget, policy)
    sessions = calibration.entity_periods / calibration.days
    wanted = None if found.mode == COLD else min(max(_rounded_up(found.q), LOWEST), HIGHEST)
    if wanted is not None and _share(found, LOWEST) * sessions <= budget:
        wanted = LOWEST
    return PlaceThreshold(budget, sessions, len(told), wanted, found)


def _share(found: Fit, threshold: float) -> float:
    """Return the share of sessions at or above a threshold, even within a bin."""
    place = surprise_of(threshold) / found.width
    return float(np.interp(place, np.arange(len(found.share)), found.share))


def surprise_of(threshold: float) -> float:
    return -math.log1p(-threshold)


def _rounded_up(q: float) -> float:
    """Return 1 - q, with q cut to three digits."""
    if q <= 0 or q >= 1:
        return 1.0 if q <= 0 else 0.0
    unit = 10.0 ** (math.floor(math.log10(q)) - 2)
    return round(1 - math.floor(q / unit + 1e-9) * unit, 12)
