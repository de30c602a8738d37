"""What decides thresholds of hosts at risk: a value, stored with every alert. Periods are days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Policy:
    version: int = 1
    bins: int = 40
    least: float = 2.0**-6  # lower edge of the first bin
    per_octave: int = 2  # bins
    half_life: float = 60.0  # of an entity's history, in periods
    kappa0: float = 40.0  # the organisation's habit counts as so many periods
    trim: float = 0.02  # the noisiest do not shape everybody's threshold
    budget: float = 5.0  # alerts a day, of the organisation
    calibration_half_life: float = 28.0  # of the surprises, in days
    surprise_width: float = 0.05  # nats, of a bin
    surprise_bins: int = 800
    least_tail: float = 50.0  # surprises that a tail needs,
    least_tail_share: float = 0.001  # and their share of all entity-periods
    hill_low: float = 0.5
    hill_high: float = 3.0
    slew: float = 0.02  # growth of a threshold, per period,
    warm: int = 30  # once an entity has so many
    cap: float = 20.0  # times the newcomer's threshold: above it everything alerts
    floor: float = 0.0  # values at or below never alert
    cold_start: int = 14  # periods: alerts of younger entities are marked; an organisation without history waits
    largest_surprise: float = 690.0
    late: int = 7  # periods: a value that comes later is dropped
    peers: int = 30  # entities a peer group needs for a curve of its own,
    peer_periods: float = 1_000.0  # and entity-periods

    @property
    def decay(self) -> float:
        return float(0.5 ** (1 / self.half_life))

    @property
    def representatives(self) -> Floats:
        """The value that stands for each bin: [bins]."""
        values: Floats = self.least * 2.0 ** ((np.arange(self.bins) + 0.5) / self.per_octave)
        return values


POLICY = Policy()
