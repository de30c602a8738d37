"""Did the field change? Counts of a model against counts of rules, day by day, with a stated rate of false alarms.

A stream is (customer, model, version, kind) with x successes in n trials a period (a UTC day). Reads in this order:
`null` (what counts do while nothing changes), `evalues` (what a day is worth as evidence), `streams` (the statistic),
`days` (one day of a whole fleet: learning, fits, incidents), `fleet` (alarms of all, versions compared). Everything
works on arrays of streams; state is O(1) a stream, and replay gives the same state bit for bit.

`python -m detection.divergence check FILE` compares with a file of test vectors.
"""

from detection.divergence.days import Closing, Watch, advance, close, hold, in_force, silent
from detection.divergence.evalues import log_e_values, plain
from detection.divergence.fleet import (
    Compared,
    Together,
    between_false_alarms,
    compare,
    expected_false_alarms,
    fleet_counts,
    fleet_volume,
    mcnemar,
    together,
)
from detection.divergence.null import (
    fit_phi,
    fit_prior,
    log_beta_binomial,
    mean_over,
    odds_shift,
    prior_of_version,
)
from detection.divergence.policy import FLOAT_LIMIT, POLICY, Policy
from detection.divergence.streams import Looks, Streams, forget, step

__all__ = [
    "FLOAT_LIMIT",
    "POLICY",
    "Closing",
    "Compared",
    "Looks",
    "Policy",
    "Streams",
    "Together",
    "Watch",
    "advance",
    "between_false_alarms",
    "close",
    "compare",
    "expected_false_alarms",
    "fit_phi",
    "fit_prior",
    "fleet_counts",
    "fleet_volume",
    "forget",
    "hold",
    "in_force",
    "log_beta_binomial",
    "log_e_values",
    "mcnemar",
    "mean_over",
    "odds_shift",
    "plain",
    "prior_of_version",
    "silent",
    "step",
    "together",
]
