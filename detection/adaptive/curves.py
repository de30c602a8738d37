"""Tails: how unusual a value is for an entity, given its own past and the habit of its organisation.

Every past value spreads exponentially with its own size as mean; the organisation's curve g counts as kappa0 periods:

    P_i(v) = [ sum_b (kappa0 g[b] + c[i,b]) exp(-v / x[b]) ] / (kappa0 + W[i])

the posterior predictive of a Dirichlet process with base measure g (smoothed by the kernel) and concentration kappa0
(Ferguson, "A Bayesian analysis of some nonparametric problems", 1973). Zeros are the missing mass.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.adaptive.policy import POLICY, Floats, Policy

GRID = 241  # values at which tails are tabulated
CHUNK = 16_384  # entities at once
_HALVINGS = 200


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves of the organisation and of its peer groups: `rows` [G, bins], the organisation's first.

    member: for each entity, the row that speaks for it."""

    rows: Floats
    member: NDArray[np.int32]


def bin_index(v: Any, policy: Policy = POLICY) -> NDArray[np.int64]:
    """Return the bin of values; 0 falls into the first."""
    values = np.asarray(v, float)
    with np.errstate(divide="ignore"):
        place = np.floor(policy.per_octave * np.log2(values / policy.least) + 1e-9)
    return np.clip(place, 0, policy.bins - 1).astype(np.int64)


def organisation_curve(counts: Any, weight: Any, *, trim: float | None = None, policy: Policy = POLICY) -> Floats:
    """Return g [bins]: the habit of all but the noisiest entities, per period.

    counts: [N, bins], weight: [N], both decayed to the same period."""
    told = np.asarray(weight) > 0
    own, periods = np.asarray(counts)[told], np.asarray(weight, float)[told]
    if not len(periods):
        return np.zeros(policy.bins)
    mean = own @ policy.representatives.astype(own.dtype) / periods
    kept = math.ceil((1 - (policy.trim if trim is None else trim)) * len(periods))
    quiet = np.argsort(mean, kind="stable")[:kept]
    curve: Floats = own[quiet].sum(axis=0, dtype=float) / periods[quiet].sum()
    return curve


def tail(g: Any, counts: Any, weight: Any, v: Any, policy: Policy = POLICY) -> Floats:
    """Return P(v) for rows of entities: g and counts [..., bins], weight and v [...]; 1 for v = 0."""
    values = np.asarray(v, float)
    kernel = np.exp(-values[..., None] / policy.representatives)
    mass = policy.kappa0 * np.asarray(g, float) + np.asarray(counts, float)
    found = (mass * kernel).sum(axis=-1) / (policy.kappa0 + np.asarray(weight, float))
    result: Floats = np.where(values > 0, found, 1.0)
    return result


def surprise(p: Any, policy: Policy = POLICY) -> Floats:
    """Return -ln P in nats, never above `largest_surprise`."""
    result: Floats = -np.log(np.maximum(p, math.exp(-policy.largest_surprise)))
    return result


def raw_threshold(g: Floats, counts: Floats, weight: float, q: float, policy: Policy = POLICY) -> float:
    """Return the v with P(v) = q of one entity, by bisection in ln v; never below the floor."""
    mass = policy.kappa0 * np.asarray(g, float) + np.asarray(counts, float)
    total = policy.kappa0 + weight
    if mass.sum() / total <= q:
        return policy.floor
    x = policy.representatives
    low, high = math.log(x[0]) - 50, math.log(x[-1] * 1_000)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if float((mass * np.exp(-math.exp(middle) / x)).sum()) / total > q:
            low = middle
        else:
            high = middle
    return max(math.exp((low + high) / 2), policy.floor)


def raw_thresholds(
    curves: Curves, counts: Any, weight: Any, q: float, *, factor: Any = None, policy: Policy = POLICY
) -> Floats:
    """Return the raw thresholds of all entities, within 0.2 % of `raw_threshold`.

    counts [N, bins] are multiplied by `factor` [N] (decay that was not written back), weight [N] is as of today."""
    log_grid, table = _tabulated(policy)
    base = policy.kappa0 * (curves.rows @ table)
    thresholds = np.empty(len(counts))
    for chunk in _chunks(len(counts)):
        own = counts[chunk] @ table.astype(counts.dtype)
        if factor is not None:
            own *= np.asarray(factor)[chunk, None].astype(own.dtype)
        own += base[curves.member[chunk]].astype(own.dtype)
        wanted = q * (policy.kappa0 + np.asarray(weight, float)[chunk])
        thresholds[chunk] = _crossings(own, wanted, log_grid)
    return np.maximum(thresholds, policy.floor)


def _tabulated(policy: Policy) -> tuple[Floats, Floats]:
    x = policy.representatives
    log_grid = np.linspace(math.log(x[0] / 100), math.log(30 * x[-1]), GRID)
    return log_grid, np.exp(-np.exp(log_grid)[None, :] / x[:, None])


def _crossings(mass: Any, wanted: Floats, log_grid: Floats) -> Floats:
    """Return where each falling row of `mass` [n, GRID] meets `wanted` [n], linear in logarithms; 0 before the grid."""
    above = (mass > wanted[:, None]).sum(axis=1)  # rows fall: so many grid points lie above
    left = np.clip(above - 1, 0, GRID - 2)
    rows = np.arange(len(mass))
    with np.errstate(divide="ignore", invalid="ignore"):
        here, there = np.log(mass[rows, left].astype(float)), np.log(mass[rows, left + 1].astype(float))
        share = np.clip((here - np.log(wanted)) / (here - there), 0, 1)
    found = np.exp(log_grid[left] + np.nan_to_num(share) * (log_grid[1] - log_grid[0]))
    result: Floats = np.where(above == 0, 0.0, np.where(above == GRID, math.exp(log_grid[-1]), found))
    return result


def _chunks(size: int) -> Iterator[slice]:
    for begin in range(0, size, CHUNK):
        yield slice(begin, min(begin + CHUNK, size))
