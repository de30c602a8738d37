"""Did the field change? Counts of a model against counts of rules, day by day, with a stated rate of false alarms.

A stream is (customer, model, version, kind) with x successes in n trials a period (a UTC day). Reads in this order:
`null` (what counts do while nothing changes), `evalues` (what a day is worth as evidence), `streams` (the statistic, a
day of all streams at once), `fleet` (how many false incidents, and the fleet as one stream). Everything works on arrays
of streams; state is O(1) a stream, and replay gives the same state bit for bit.

`python -m detection.divergence check FILE` compares with a file of test vectors.
"""

from detection.divergence.evalues import log_e_values, plain
from detection.divergence.fleet import MEASURED_BELOW_BOUND, between_false_alarms, fleet_counts, mcnemar
from detection.divergence.null import (
    Sums,
    fit_phi,
    fit_phi_of_sums,
    fit_prior,
    log_beta_binomial,
    mean_over,
    odds_shift,
    prior_of_version,
    sums_of,
    usual_shares,
)
from detection.divergence.policy import FLOAT_LIMIT, POLICY, Policy
from detection.divergence.streams import Looks, Streams, forget, step

__all__ = [
    "FLOAT_LIMIT",
    "MEASURED_BELOW_BOUND",
    "POLICY",
    "Looks",
    "Policy",
    "Streams",
    "Sums",
    "between_false_alarms",
    "fit_phi",
    "fit_phi_of_sums",
    "fit_prior",
    "fleet_counts",
    "forget",
    "log_beta_binomial",
    "log_e_values",
    "mcnemar",
    "mean_over",
    "odds_shift",
    "plain",
    "prior_of_version",
    "step",
    "sums_of",
    "usual_shares",
]
