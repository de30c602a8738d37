"""Hosts at risk: how large the day of a user or host must be to deserve an alert, learnt for each of them.

Reads in the order of a night: `values` (scores of a day → one number per entity), `curves` (the organisation's habit
and the blend of it with each entity's own), `calibration` (the alert budget), `entities` (state, guards, labels),
`nights` (one period for a whole organisation). `places` gives the thresholds of a detector by site from the same
calibration. Counts only, O(1) an update, and a matrix product for a million.
"""

from detection.adaptive.calibration import Calibration, Fit, fit
from detection.adaptive.curves import Curves, bin_index, organisation_curve, raw_threshold, raw_thresholds, tail
from detection.adaptive.entities import Entities
from detection.adaptive.nights import Alerts, Night, night, rising, storm
from detection.adaptive.policy import POLICY, Policy
from detection.adaptive.values import Contribution, period_values

__all__ = [
    "POLICY",
    "Alerts",
    "Calibration",
    "Contribution",
    "Curves",
    "Entities",
    "Fit",
    "Night",
    "Policy",
    "bin_index",
    "fit",
    "night",
    "organisation_curve",
    "period_values",
    "raw_threshold",
    "raw_thresholds",
    "rising",
    "storm",
    "tail",
]
