"""The constants of the statistics, and the types of their arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

FLOAT_LIMIT = 1e300  # larger statistics are shown and stored as this
UP, DOWN = "up", "down"


@dataclass(frozen=True, slots=True)
class Policy:
    """Stored with every incident. Periods are days."""

    version: int = 1
    delta: float = 1.15  # odds ratio that is tolerated
    ratios: tuple[float, ...] = (1.5, 2.5, 5.0, 10.0)  # odds ratios that are bet on
    between_false_alarms: float = 365.0  # A: periods of one stream, at least, in the mean
    prior_cap: float = 50.0  # of the prior's weight, in trials
    phi_low: float = 5.0
    phi_high: float = 1e5
    phi_unknown: float = 50.0  # no period tells
    half_life: float = 30.0  # of the reference, in periods
    freeze_at: float = 10.0  # statistic from which a divergence teaches the reference nothing
    least_reference: float = 30.0  # trials, prior included, before anything is tested
    least_trials: int = 20  # since the change, for an incident
    least_effect: float = 1.5  # as odds ratio, for an incident
    most_trials: int = 2000  # of a period, as far as e-values go
    learning: int = 28  # periods
    learning_of_versions: int = 7  # of a new version, whose prior is what the old one showed


POLICY = Policy()
