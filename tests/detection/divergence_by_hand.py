"""The divergence statistics once more, one stream and one number at a time, as the specification words them.

What `detection.divergence` does with arrays must agree with this."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from detection.divergence import Policy


def log_pmf(x, n, a, b):
    def log_beta(p, q):
        return math.lgamma(p) + math.lgamma(q) - math.lgamma(p + q)

    return math.log(math.comb(n, x)) + log_beta(x + a, n - x + b) - log_beta(a, b)


def shift(mu, r):
    return r * mu / (1 - mu + r * mu)


@dataclass
class Stream:
    policy: Policy
    a0: float
    b0: float
    phi: float
    X: float = 0.0
    N: float = 0.0
    U: float = -math.inf  # logarithms
    D: float = -math.inf
    up: list = field(default_factory=lambda: [0, 0, -1])  # x, n since the change, and its period
    down: list = field(default_factory=lambda: [0, 0, -1])

    @property
    def mu(self):
        return (self.a0 + self.X) / (self.a0 + self.b0 + self.N)

    @property
    def S(self):
        top = max(self.U, self.D)
        if top == -math.inf:
            return top
        return top + math.log((math.exp(self.U - top) + math.exp(self.D - top)) / 2)

    def day(self, period, x, n, *, learning, frozen):
        """Return what the period says: (alarm, ticket, odds ratio), and learn."""
        policy, mu = self.policy, self.mu
        tested = not learning and self.a0 + self.b0 + self.N >= policy.least_reference and n > 0
        said = (False, False, None)
        if tested:
            said = self._test(period, x, n, mu)
        if math.log(policy.freeze_at) > self.S and not frozen:
            keep = 0.5 ** (1 / policy.half_life)
            self.X, self.N = keep * self.X + x, keep * self.N + n
        return said

    def _test(self, period, x, n, mu):
        most, phi = self.policy.most_trials, self.phi
        scaled, trials = (round(most * x / n), most) if n > most else (x, n)

        def pmf(r):
            mean = shift(mu, r)
            return log_pmf(scaled, trials, phi * mean, phi * (1 - mean))

        for name, side, power in (("U", self.up, 1), ("D", self.down, -1)):
            null = pmf(self.policy.delta**power)
            bets = [pmf(r**power) - null for r in self.policy.ratios]
            top = max(bets)
            e = top + math.log(sum(math.exp(bet - top) for bet in bets) / len(bets))
            if getattr(self, name) <= 0:
                side[:] = [0, 0, period]
            side[0] += x
            side[1] += n
            setattr(self, name, max(0.0, getattr(self, name)) + e)
        alarm = math.log(self.policy.between_false_alarms) <= self.S
        upward = self.U >= self.D
        seg_x, seg_n, _ = self.up if upward else self.down
        p = (seg_x + 0.5) / (seg_n + 1)
        odds_ratio = p / (1 - p) / (mu / (1 - mu))
        effect = odds_ratio if upward else 1 / odds_ratio
        return alarm, alarm and seg_n >= self.policy.least_trials and effect >= self.policy.least_effect, odds_ratio


def phi_of(streams, policy):
    """Return phi pooled over streams, each (a0, b0, [(x, n), ...])."""
    excess = pairs = 0
    for a0, b0, periods in streams:
        told = [(x, n) for x, n in periods if n >= 2]
        mu = (a0 + sum(x for x, _ in told)) / (a0 + b0 + sum(n for _, n in told))
        excess += sum((x - n * mu) ** 2 / (mu * (1 - mu)) - n for x, n in told)
        pairs += sum(n * (n - 1) for _, n in told)
    if not pairs:
        return policy.phi_unknown
    rho = excess / pairs
    return policy.phi_high if rho <= 0 else min(max(1 / rho - 1, policy.phi_low), policy.phi_high)


def prior_of(learnt, policy):
    told = [(x, n) for x, n in learnt if n > 0]
    x, n = sum(x for x, _ in told), sum(n for _, n in told)
    m = x / n if n else 0
    if len(told) < 3 or m in (0, 1):
        m = min(max((x + 0.5) / (n + 1), 1e-4), 1 - 1e-4)
        return 10 * m, 10 * (1 - m)
    s2 = sum(N * (X / N - m) ** 2 for X, N in told) / n
    v = max(s2 - m * (1 - m) * len(told) / n, 1e-9)
    weight = min(max(m * (1 - m) / v - 1, 2), policy.prior_cap)
    return m * weight, (1 - m) * weight
