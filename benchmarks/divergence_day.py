"""A day of telemetry: CUSTOMERS x 10 models x 2 streams in one pass, seconds and peak memory of a process of its own.

Without loading, as DESIGN.md counts it. Beside it the e-values alone as one would write them first, by the
beta-binomial of scipy; and the weekly fit of phi, from 56 days of every stream."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import numpy as np

from benchmarks._house import called_apart, less_is_better, peak

CUSTOMERS = int(os.environ.get("ETALON_BENCH_TELEMETRY_CUSTOMERS", "10000"))
MODELS, KINDS = 10, 2
DAYS = 7
RECENT = 56  # periods that tell phi
MEGABYTES = 256  # above what Python and NumPy take
LIMIT = 1.0  # seconds, DESIGN.md ("Speed")


def rows() -> list[dict[str, Any]]:
    ours, theirs = called_apart("divergence_day", "ours"), called_apart("divergence_day", "scipy")
    name = f"telemetry, a day of {CUSTOMERS:,} x {MODELS} x {KINDS} streams"
    return [
        less_is_better(f"{name}, seconds", ours["day"], "limit, s", LIMIT),
        less_is_better(f"{name}, seconds", ours["day"], "scipy.stats.betabinom, e-values alone", theirs["day"]),
        less_is_better(f"{name}, weekly fit of phi, s", ours["fit"], "limit, s", 5 * LIMIT),
        less_is_better(f"{name}, peak memory, MB", ours["megabytes"] - ours["before"], "limit, MB", MEGABYTES),
    ]


def _counts(draw: np.random.Generator, size: int) -> tuple[Any, Any]:
    n = draw.poisson(30, size)
    return draw.binomial(n, 0.25), n


def ours() -> None:
    """Measure our side; prints JSON."""
    from detection.divergence import Streams, fit_phi_of_sums, step, sums_of

    size, before = CUSTOMERS * MODELS * KINDS, peak()
    draw = np.random.default_rng(1)
    streams, seconds = Streams.fresh(np.full(size, 5.0), 15.0, 150.0), []
    for period in range(DAYS):
        x, n = _counts(draw, size)
        began = time.perf_counter()
        streams, _ = step(streams, period, x, n, learning=period == 0, between_false_alarms=70_000.0)
        seconds.append(time.perf_counter() - began)
    of = np.repeat(np.arange(CUSTOMERS), RECENT)
    x, n = _counts(draw, CUSTOMERS * RECENT)
    began = time.perf_counter()
    for _ in range(MODELS * KINDS):
        fit_phi_of_sums(sums_of(of, x, n, CUSTOMERS), 5.0, 15.0)
    _tell(day=float(np.median(seconds[1:])), fit=time.perf_counter() - began, before=before)


def scipy() -> None:
    """Measure the e-values of one day as ten beta-binomials; prints JSON."""
    from scipy.stats import betabinom

    from detection.divergence import POLICY, odds_shift

    size = CUSTOMERS * MODELS * KINDS
    x, n = _counts(np.random.default_rng(1), size)
    mu, phi = np.full(size, 0.25), np.full(size, 150.0)
    began = time.perf_counter()
    for side in (1, -1):
        null = odds_shift(mu, POLICY.delta**side)
        weights = betabinom.logpmf(x, n, phi * null, phi * (1 - null))
        bets = []
        for ratio in POLICY.ratios:
            mean = odds_shift(mu, ratio**side)
            bets.append(np.exp(betabinom.logpmf(x, n, phi * mean, phi * (1 - mean)) - weights))
        np.mean(bets, axis=0)
    _tell(day=time.perf_counter() - began)


def _tell(**figures: float) -> None:
    print(json.dumps({"megabytes": round(peak()), **{name: round(one, 3) for name, one in figures.items()}}))
