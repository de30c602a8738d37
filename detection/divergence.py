"""Did the field change? Counts of a model against counts of rules, day by day, with a stated rate of false alarms.

A stream is (customer, model, version, kind) with x successes in n trials a period (a UTC day). Under the null
x ~ BetaBinomial(n, phi mu, phi (1 - mu)). Each period gives an e-value: its mean is at most 1 whatever odds ratio up to
`delta` is true, so shifts within the tolerance never add up. An e-CUSUM of these values (dominated by a
Shiryaev-Roberts e-detector; Shin and others, "E-detectors", 2023) exceeds A at most every A periods on average.

Everything works on arrays of streams; state is O(1) a stream and replay gives the same state bit for bit.
`python -m detection.divergence check FILE` compares with a file of test vectors.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import gammaln

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


# ---- the null model


def log_beta_binomial(x: Floats, n: Floats, a: Floats, b: Floats) -> Floats:
    """Return ln P(x of n) for a success probability drawn from Beta(a, b)."""
    choose = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)
    result: Floats = choose + _log_beta(x + a, n - x + b) - _log_beta(a, b)
    return result


def odds_shift(mu: Any, ratio: Any) -> Any:
    """Return the probability whose odds are `ratio` times those of mu."""
    return ratio * mu / (1 - mu + ratio * mu)


def fit_prior(x: Sequence[float] | Floats, n: Sequence[float] | Floats, policy: Policy = POLICY) -> tuple[float, float]:
    """Return (a0, b0) of the fleet's prior by the method of moments, from plain totals of each customer's learning."""
    successes, trials = np.asarray(x, float), np.asarray(n, float)
    told = trials > 0
    successes, trials = successes[told], trials[told]
    total, customers = float(trials.sum()), len(trials)
    mean = float(successes.sum()) / total if total else 0.0
    if customers < 3 or mean in (0.0, 1.0):
        mean = min(max((float(successes.sum()) + 0.5) / (total + 1), 1e-4), 1 - 1e-4)
        return 10 * mean, 10 * (1 - mean)
    spread = float((trials * (successes / trials - mean) ** 2).sum()) / total
    between = max(spread - mean * (1 - mean) * customers / total, 1e-9)
    weight = min(max(mean * (1 - mean) / between - 1, 2.0), policy.prior_cap)
    return mean * weight, weight * (1 - mean)


def prior_of_version(mu_before: float, policy: Policy = POLICY) -> tuple[float, float]:
    """Return (a0, b0) for a new version of a model whose last version had this reference."""
    return policy.prior_cap * mu_before, policy.prior_cap * (1 - mu_before)


def fit_phi(x: Any, n: Any, mu: Any, policy: Policy = POLICY) -> float:
    """Return the day-to-day precision, pooled over periods; mu is each period's stream mean over the periods used."""
    successes, trials, means = (np.asarray(values, float) for values in (x, n, mu))
    some = trials >= 2
    if not some.any():
        return policy.phi_unknown
    successes, trials, means = successes[some], trials[some], means[some]
    excess = (successes - trials * means) ** 2 / (means * (1 - means)) - trials
    rho = float(excess.sum() / (trials * (trials - 1)).sum())
    if rho <= 0:
        return policy.phi_high
    return float(min(max(1 / rho - 1, policy.phi_low), policy.phi_high))


def mean_over(a0: Any, b0: Any, x: Any, n: Any) -> Any:
    """Return a stream's mean over some periods, from the sums of its successes and trials."""
    return (a0 + x) / (a0 + b0 + n)


# ---- e-values


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


def _log_beta(a: Floats, b: Floats) -> Floats:
    result: Floats = gammaln(a) + gammaln(b) - gammaln(a + b)
    return result


# ---- streams


@dataclass(frozen=True, slots=True)
class Streams:
    """The state of S streams, each array [S]."""

    a0: Floats  # prior
    b0: Floats
    phi: Floats
    x: Floats  # decayed sums of the reference
    n: Floats
    log_up: Floats  # ln U, ln D; minus infinity: nothing tested yet
    log_down: Floats
    up_x: Counts  # plain sums since the change began
    up_n: Counts
    down_x: Counts
    down_n: Counts
    up_since: Counts  # its first period; -1: none
    down_since: Counts

    @classmethod
    def fresh(cls, a0: Any, b0: Any, phi: Any) -> Streams:
        """Return streams of which nothing was seen."""
        start, other, precision = np.broadcast_arrays(*(np.atleast_1d(np.asarray(one, float)) for one in (a0, b0, phi)))
        size = len(start)
        never, empty = np.full(size, -np.inf), np.zeros(size)
        counts = {name: np.zeros(size, np.int64) for name in ("up_x", "up_n", "down_x", "down_n")}
        since = {name: np.full(size, -1, np.int64) for name in ("up_since", "down_since")}
        return cls(
            start.copy(), other.copy(), precision.copy(), empty, empty.copy(), never, never.copy(), **counts, **since
        )

    def __len__(self) -> int:
        return len(self.a0)

    @property
    def mu(self) -> Floats:
        """The reference in force."""
        mean: Floats = mean_over(self.a0, self.b0, self.x, self.n)
        return mean

    @property
    def log_statistic(self) -> Floats:
        """ln S, S = (U + D) / 2."""
        result: Floats = np.logaddexp(self.log_up, self.log_down) - math.log(2)
        return result

    def take(self, rows: Any) -> Streams:
        return Streams(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})


@dataclass(frozen=True, slots=True)
class Looks:
    """What one period said about S streams, each array [S]. Where `tested` is false only `mu` and `statistic` speak."""

    mu: Floats  # reference before the period taught it
    tested: Flags
    e_up: Floats
    e_down: Floats
    statistic: Floats
    alarm: Flags
    ticket: Flags
    upward: Flags
    odds_ratio: Floats  # since the change, against mu
    changed_x: Counts
    changed_n: Counts
    since: Counts  # period in which the change began


def step(
    streams: Streams,
    period: int,
    x: Any,
    n: Any,
    *,
    learning: Any = False,
    frozen: Any = False,
    between_false_alarms: Any = None,
    policy: Policy = POLICY,
) -> tuple[Streams, Looks]:
    """Return the streams after a period, and what it said.

    x, n: counts [S]. learning: no test is made. frozen: an open incident, the reference learns nothing.
    between_false_alarms: A, of each stream or of all. Raises ValueError for counts that cannot be."""
    x, n = _checked(x, n, len(streams))
    mu = streams.mu
    tested = ~np.broadcast_to(learning, n.shape) & (streams.a0 + streams.b0 + streams.n >= policy.least_reference)
    tested &= n > 0
    log_e_up, log_e_down = np.zeros(len(n)), np.zeros(len(n))
    scaled, trials = _scaled(x[tested], n[tested], policy.most_trials)
    log_e_up[tested], log_e_down[tested] = log_e_values(scaled, trials, mu[tested], streams.phi[tested], policy)
    moved = _move(streams, period, x, n, tested, log_e_up, log_e_down)
    log_statistic = moved.log_statistic
    needed = policy.between_false_alarms if between_false_alarms is None else between_false_alarms
    alarm = tested & (log_statistic >= np.log(needed))
    looks = _looks(moved, mu, tested, log_e_up, log_e_down, alarm, policy)
    learns = (log_statistic < math.log(policy.freeze_at)) & ~np.broadcast_to(frozen, n.shape)
    decay = 0.5 ** (1 / policy.half_life)
    return (
        replace(
            moved,
            x=np.where(learns, decay * streams.x + x, streams.x),
            n=np.where(learns, decay * streams.n + n, streams.n),
        ),
        looks,
    )


def _checked(x: Any, n: Any, size: int) -> tuple[Counts, Counts]:
    pair = []
    for name, values in (("x", x), ("n", n)):
        counts = np.atleast_1d(np.asarray(values))
        if counts.shape != (size,):
            raise ValueError(f"{name}: expected {size} counts, got shape {counts.shape}")
        if not np.issubdtype(counts.dtype, np.integer):
            raise ValueError(f"{name}: counts are whole numbers, got {counts.dtype}")
        pair.append(counts.astype(np.int64))
    successes, trials = pair
    if (successes < 0).any() or (successes > trials).any():
        place = int(np.flatnonzero((successes < 0) | (successes > trials))[0])
        raise ValueError(f"stream {place}: {successes[place]} of {trials[place]} cannot be")
    return successes, trials


def _scaled(x: Counts, n: Counts, most: int) -> tuple[Floats, Floats]:
    """Return counts of at most so many trials, halves to even: tiny but certain shifts must not dominate."""
    large = n > most
    share = np.divide(x * float(most), n, out=np.zeros(len(n)), where=n > 0)
    return np.where(large, np.rint(share), x).astype(float), np.where(large, most, n).astype(float)


def _move(
    streams: Streams, period: int, x: Counts, n: Counts, tested: Flags, log_e_up: Floats, log_e_down: Floats
) -> Streams:
    """Return the streams with statistics and sums since the change; a side at 1 or below begins anew."""
    moved: dict[str, Any] = {}
    for side, log_e in ((UP, log_e_up), (DOWN, log_e_down)):
        log = getattr(streams, f"log_{side}")
        anew = tested & (log <= 0)
        for count, values in (("x", x), ("n", n)):
            before = getattr(streams, f"{side}_{count}")
            moved[f"{side}_{count}"] = np.where(tested, np.where(anew, 0, before) + values, before)
        moved[f"{side}_since"] = np.where(anew, period, getattr(streams, f"{side}_since"))
        moved[f"log_{side}"] = np.where(tested, np.maximum(log, 0) + log_e, log)
    return replace(streams, **moved)


def _looks(
    moved: Streams, mu: Floats, tested: Flags, log_e_up: Floats, log_e_down: Floats, alarm: Flags, policy: Policy
) -> Looks:
    upward = moved.log_up >= moved.log_down
    changed_x = np.where(upward, moved.up_x, moved.down_x)
    changed_n = np.where(upward, moved.up_n, moved.down_n)
    share = (changed_x + 0.5) / (changed_n + 1)
    odds_ratio = share / (1 - share) * (1 - mu) / mu
    effect = np.where(upward, odds_ratio, 1 / odds_ratio)
    return Looks(
        mu=mu,
        tested=tested,
        e_up=plain(log_e_up),
        e_down=plain(log_e_down),
        statistic=plain(moved.log_statistic),
        alarm=alarm,
        ticket=alarm & (changed_n >= policy.least_trials) & (effect >= policy.least_effect),
        upward=upward,
        odds_ratio=odds_ratio,
        changed_x=changed_x,
        changed_n=changed_n,
        since=np.where(upward, moved.up_since, moved.down_since),
    )


def plain(log: Floats) -> Floats:
    """Return exp of logarithms as numbers that JSON can hold."""
    result: Floats = np.exp(np.minimum(log, math.log(FLOAT_LIMIT)))
    return result


def forget(streams: Streams, rows: Flags, *, reference: bool = False) -> Streams:
    """Return streams of which some begin anew after an incident: U = D = 0; with `reference`, X = N = 0 as well."""
    changes: dict[str, Any] = {name: np.where(rows, -np.inf, getattr(streams, name)) for name in ("log_up", "log_down")}
    for name in ("up_x", "up_n", "down_x", "down_n"):
        changes[name] = np.where(rows, 0, getattr(streams, name))
    for name in ("up_since", "down_since"):
        changes[name] = np.where(rows, -1, getattr(streams, name))
    if reference:
        changes |= {name: np.where(rows, 0.0, getattr(streams, name)) for name in ("x", "n")}
    return replace(streams, **changes)


# ---- the fleet


def between_false_alarms(streams: int, per_week: float, policy: Policy = POLICY) -> float:
    """Return A for a whole fleet that may raise so many false incidents a week.

    At A, S streams raise at most 7 S / A a week; measured, with mu and phi estimated, about 20 times fewer
    (specification, section 7). Never below the policy's own A."""
    if per_week <= 0:
        raise ValueError(f"false incidents per week: expected more than 0, got {per_week}")
    return max(policy.between_false_alarms, 7 * streams / (MEASURED_BELOW_BOUND * per_week))


MEASURED_BELOW_BOUND = 20.0


def fleet_counts(x: Counts, n: Counts, volume: float) -> tuple[int, int]:
    """Return one period of a fleet's own stream: no customer counts for more than a tenth of the usual volume."""
    share = np.minimum(1.0, np.divide(0.1 * volume, n, out=np.ones(len(n)), where=n > 0))
    return int(np.rint(x * share).sum()), int(np.rint(n * share).sum())


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p-value that two versions flag equally often, from items only one of them flags."""
    if only_a < 0 or only_b < 0:
        raise ValueError(f"counts are 0 or more, got {only_a} and {only_b}")
    return float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0


if __name__ == "__main__":
    from detection.divergence_check import main

    sys.exit(main(sys.argv[1:]))
