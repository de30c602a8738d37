"""The null model: what counts do while nothing changes, and how its prior and precision are fitted.

x | n ~ BetaBinomial(n, phi mu, phi (1 - mu)): mean n mu, day-to-day precision phi."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.special import betaincinv, gammaln

from detection.divergence.policy import POLICY, Floats, Policy


def log_beta_binomial(x: Floats, n: Floats, a: Floats, b: Floats) -> Floats:
    """Return ln P(x of n) for a success probability drawn from Beta(a, b)."""
    choose = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)
    result: Floats = choose + _log_beta(x + a, n - x + b) - _log_beta(a, b)
    return result


def usual_shares(n: Any, mu: Any, phi: Any, level: float = 0.95) -> tuple[Floats, Floats]:
    """Return between which shares x / n a period lies with probability `level` while nothing changes; n is above 0.

    By the beta distribution of the same mean and variance, mu (1 - mu) / n (1 + (n - 1) / (phi + 1))."""
    trials, means, precision = (np.asarray(values, float) for values in (n, mu, phi))
    weight = trials * (precision + 1) / (precision + trials) - 1
    a, b = np.maximum(weight, 1e-3) * means, np.maximum(weight, 1e-3) * (1 - means)
    low: Floats = betaincinv(a, b, (1 - level) / 2)
    high: Floats = betaincinv(a, b, (1 + level) / 2)
    return low, high


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
    successes, trials, means = successes[some], trials[some], means[some]
    excess = (successes - trials * means) ** 2 / (means * (1 - means)) - trials
    return float(_phi(excess.sum(), (trials * (trials - 1)).sum(), policy))


@dataclass(frozen=True, slots=True)
class Sums:
    """What a fit of phi needs of the periods of S streams, each array [S]: sums over periods with two trials or more.

    So a fit costs a line per stream, however many periods there are."""

    periods: Floats
    x: Floats
    n: Floats
    xx: Floats  # x squared
    xn: Floats
    nn: Floats

    def take(self, rows: Any) -> Sums:
        return Sums(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})


def sums_of(streams: Any, x: Any, n: Any, size: int) -> Sums:
    """Return the sums of `size` streams; `streams` says of each period whose it is."""
    rows, successes, trials = np.asarray(streams, np.int64), np.asarray(x, float), np.asarray(n, float)
    some = trials >= 2
    rows, successes, trials = rows[some], successes[some], trials[some]
    columns = (successes, trials, successes**2, successes * trials, trials**2)
    sums: list[Any] = [np.bincount(rows, one, size) for one in columns]
    return Sums(np.bincount(rows, minlength=size).astype(float), *sums)


def fit_phi_of_sums(sums: Sums, a0: Any, b0: Any, policy: Policy = POLICY) -> tuple[float, Floats]:
    """Return `fit_phi` of all streams together, and of each alone; a0, b0: prior, of each or of all."""
    mu = mean_over(a0, b0, sums.x, sums.n)
    squares = sums.xx - 2 * mu * sums.xn + mu**2 * sums.nn
    above, among = squares / (mu * (1 - mu)) - sums.n, sums.nn - sums.n
    return float(_phi(above.sum(), among.sum(), policy)), _phi(above, among, policy)


def _phi(excess: Any, pairs: Any, policy: Policy) -> Floats:
    """Return the precision from sums over periods: variation beyond binomial noise, and pairs of trials."""
    above, among = np.asarray(excess, float), np.asarray(pairs, float)
    rho = np.divide(above, among, out=np.zeros_like(above), where=among > 0)
    phi = np.divide(1.0, rho, out=np.full_like(above, np.inf), where=rho > 0) - 1
    result: Floats = np.where(among > 0, np.clip(phi, policy.phi_low, policy.phi_high), policy.phi_unknown)
    return result


def mean_over(a0: Any, b0: Any, x: Any, n: Any) -> Any:
    """Return a stream's mean over some periods, from the sums of its successes and trials."""
    return (a0 + x) / (a0 + b0 + n)


def _log_beta(a: Floats, b: Floats) -> Floats:
    result: Floats = gammaln(a) + gammaln(b) - gammaln(a + b)
    return result
