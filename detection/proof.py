"""What a blind random sample of a version's positives shows about its precision.

Weights are inverse inclusion probabilities, clusters are source hosts and, apart from them, registered domains. The
upper bound of the error rate is the larger of two, over both kinds of clusters: by sessions (Korn and Graubard 1998:
Clopper-Pearson at the effective size) and by clusters (every cluster counts once, whatever its size). The first alone
is too low where few clusters hold all errors, or where their sizes differ. Both assume that errors depend neither on
the size of a cluster nor on the inclusion probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

CONFIDENCE = 0.95  # one-sided
MOST_NEEDED = 10_000_000  # labels; who needs more will not get there

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ProofRow:
    """One answered session of the sample. Undecided is wrong in a lower bound of precision."""

    probability: float  # by which it entered
    wrong: bool
    host: str
    domain: str


class Sums(NamedTuple):
    """All that the bounds need to know of a sample: one number each, or one per repetition of a simulation."""

    n: Floats  # labels
    w: Floats  # sum of weights
    ww: Floats  # sum of squared weights
    wy: Floats  # sum of weights of errors
    k: Floats  # clusters
    aa: Floats  # over clusters, with a = sum of w y and b = sum of w in one cluster: sum of a a
    ab: Floats
    bb: Floats
    x: Floats  # over clusters: sum of a / b

    @classmethod
    def of(cls, weights: Floats, wrong: NDArray[np.bool_], clusters: Sequence[str]) -> Sums:
        names, index = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
        a = np.bincount(index, weights * wrong, minlength=len(names))
        b = np.bincount(index, weights, minlength=len(names))
        return cls(np.float64(len(weights)), np.sum(weights), np.sum(weights**2), np.sum(weights * wrong), *over(a, b))  # type: ignore[arg-type]

    def with_clean(self, clusters: int) -> Sums:
        """Return the sums after further clusters of one right label of mean weight each."""
        mean = self.w / self.n
        return self._replace(
            n=self.n + clusters,
            w=self.w + clusters * mean,
            ww=self.ww + clusters * mean**2,
            k=self.k + clusters,
            bb=self.bb + clusters * mean**2,
        )


def over(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return the sums over clusters, which lie along the last axis."""
    k = np.full(a.shape[:-1], a.shape[-1], dtype=np.float64)
    return k, np.sum(a * a, -1), np.sum(a * b, -1), np.sum(b * b, -1), np.sum(a / b, -1)


def error_rate(sums: Sums) -> Floats:
    """Return the Hajek estimate: sum w y / sum w."""
    return sums.wy / sums.w


def variance(sums: Sums) -> Floats:
    """Return the linearised with-replacement variance of the error rate between clusters; infinite for one cluster.

    K / (K - 1) * sum over clusters of (sum of w (y - e) / sum w)^2; the sum over all clusters is 0, and so its mean"""
    e = error_rate(sums)
    squares = np.maximum(sums.aa - 2 * e * sums.ab + e * e * sums.bb, 0.0) / sums.w**2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums.k > 1, sums.k / (sums.k - 1) * squares, np.inf)


def kish_size(sums: Sums) -> Floats:
    """Return (sum w)^2 / sum w^2: how many equal weights would say as much."""
    return sums.w**2 / sums.ww


def effective_size(sums: Sums, confidence: float = CONFIDENCE) -> Floats:
    """Return min(n_w, n e (1 - e) / ((n - 1) v) * (t_{n-1} / t_{K-1})^2), and n_w where e is 0 or 1 or v is 0."""
    e, v, n_w = error_rate(sums), variance(sums), kish_size(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        quantiles = stdtrit(sums.n - 1, confidence) / stdtrit(sums.k - 1, confidence)
        by_design = sums.n * e * (1 - e) / ((sums.n - 1) * v) * quantiles**2
    plain = (e <= 0) | (e >= 1) | (v <= 0)
    return np.where(plain, n_w, np.fmin(n_w, by_design))


def bound_by_sessions(sums: Sums, confidence: float = CONFIDENCE) -> Floats:
    """Return the Korn-Graubard upper bound of the error rate. One cluster says nothing about others: 0, see bound()."""
    size = effective_size(sums, confidence)
    return np.where(sums.k > 1, _clopper_pearson(size * error_rate(sums), size, confidence), 0.0)


def bound_by_clusters(sums: Sums, confidence: float = CONFIDENCE) -> Floats:
    """Return the upper bound by clusters: each counts once, with its own weighted error rate."""
    return _clopper_pearson(sums.x, sums.k, confidence)


def bound(sums: Sums, confidence: float = CONFIDENCE) -> Floats:
    """Return the upper bound of the error rate, over one kind of clusters."""
    return np.maximum(bound_by_sessions(sums, confidence), bound_by_clusters(sums, confidence))


def upper_bound(rows: Sequence[ProofRow], confidence: float) -> float:
    """Return the upper bound of the error rate of some rows, over both kinds of clusters."""
    return max(float(bound(sums, confidence)) for sums in _by_host_and_domain(rows))


def _clopper_pearson(x: Floats, n: Floats, confidence: float) -> Floats:
    """Return Beta^-1(confidence; x + 1, n - x) for real x and n; 1 where x = n."""
    rest = n - x
    full = rest <= 1e-9 * n
    return np.where(full, 1.0, betaincinv(x + 1.0, np.where(full, 1.0, rest), confidence))


@dataclass(frozen=True, slots=True)
class Proof:
    """What may be claimed about a version at its threshold: a point, a bound, and what it rests on."""

    labels: int
    errors: int
    hosts: int
    domains: int
    hosts_wrong: int  # with an error: 15 of 256 hosts weigh more than 37 of 21,038 sessions
    domains_wrong: int
    error_rate: float
    error_bound: float  # upper, 95 %, one-sided
    effective: float  # the size that decided: effective labels, or clusters
    decided_by: str  # sessions, hosts or domains

    @property
    def precision(self) -> float:
        return 1.0 - self.error_rate

    @property
    def precision_bound(self) -> float:
        return 1.0 - self.error_bound

    def to_dict(self) -> dict[str, Any]:
        figures = {name: getattr(self, name) for name in self.__slots__}
        return figures | {"precision": self.precision, "precision_bound": self.precision_bound}


def prove(rows: Sequence[ProofRow]) -> Proof | None:
    """Return what the answered rows of one version show; None without any."""
    if not rows:
        return None
    hosts, domains = _by_host_and_domain(rows)
    upper, effective, decided_by = _deciding(hosts, domains)
    return Proof(
        labels=len(rows),
        errors=sum(row.wrong for row in rows),
        hosts=int(hosts.k),
        domains=int(domains.k),
        hosts_wrong=len({row.host for row in rows if row.wrong}),
        domains_wrong=len({row.domain for row in rows if row.wrong}),
        error_rate=float(error_rate(hosts)),
        error_bound=upper,
        effective=effective,
        decided_by=decided_by,
    )


def _by_host_and_domain(rows: Sequence[ProofRow]) -> tuple[Sums, Sums]:
    if any(not 0.0 < row.probability <= 1.0 for row in rows):
        raise ValueError("an inclusion probability is above 0 and at most 1")
    weights = np.array([1.0 / row.probability for row in rows])
    wrong = np.array([row.wrong for row in rows], dtype=np.bool_)
    return (
        Sums.of(weights, wrong, [row.host for row in rows]),
        Sums.of(weights, wrong, [row.domain for row in rows]),
    )


def _deciding(hosts: Sums, domains: Sums) -> tuple[float, float, str]:
    """Return the largest bound, the size it rests on and what counts there; of equals the smallest size."""
    lines = [
        *((float(bound_by_sessions(sums)), float(effective_size(sums)), "sessions") for sums in (hosts, domains)),
        (float(bound_by_clusters(hosts)), float(hosts.k), "hosts"),
        (float(bound_by_clusters(domains)), float(domains.k), "domains"),
    ]
    return max(lines, key=lambda line: (line[0], -line[1]))


def labels_needed(rows: Sequence[ProofRow], target: float) -> int | None:
    """Return the smallest number of further clean clusters, one label of mean weight each, that lifts the precision
    bound to the target; None where no number that anybody could label does."""
    if not 0.0 < target < 1.0:
        raise ValueError(f"a target is above 0 and below 1, not {target}")
    sums = _by_host_and_domain(rows) if rows else None

    def enough(more: int) -> bool:
        if sums is None:
            return more > 0 and 1.0 - (1.0 - CONFIDENCE) ** (1.0 / more) <= 1.0 - target
        return max(float(bound(one.with_clean(more))) for one in sums) <= 1.0 - target

    return 0 if enough(0) else _first(enough)


def _first(enough: Any) -> int | None:
    high = 1
    while not enough(high):
        if high > MOST_NEEDED:
            return None
        high *= 2
    low = high // 2  # not enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@dataclass(frozen=True, slots=True)
class FalseAlerts:
    """False alerts per 1,000 hosts and day, as estimated and at the bound."""

    rate: float
    bound: float


def false_alerts(proof: Proof, *, positives: int, hosts: int, days: float) -> FalseAlerts:
    """Return what the counted positives of a window cost, on so many hosts over so many days."""
    if hosts < 1 or days <= 0:
        raise ValueError("false alerts are per host and day: there must be some of both")
    alerts = positives / (hosts / 1000) / days
    return FalseAlerts(proof.error_rate * alerts, proof.error_bound * alerts)
