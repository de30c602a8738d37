"""A day of telemetry: CUSTOMERS x 10 models x 2 streams in one pass, seconds and peak memory of a process of its own.

Without loading, as DESIGN.md counts it. Beside it the e-values alone as one would write them first, by the
beta-binomial of scipy. Every seventh day fits phi anew, from the last 56 quiet days of each stream."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np

CUSTOMERS = int(os.environ.get("ETALON_BENCH_TELEMETRY_CUSTOMERS", "10000"))
MODELS, KINDS = 10, 2
LIMIT = 1.0  # seconds, DESIGN.md ("Speed")


def rows() -> list[dict[str, Any]]:
    ours, theirs = _apart("ours"), _apart("scipy")
    name = f"telemetry, a day of {CUSTOMERS:,} x {MODELS} x {KINDS} streams"
    state = 8 * 13 + 8 * 6 + 2 + 2 * 4 * 56  # bytes of a stream, see detection.divergence.Watch
    return [
        _row(f"{name}, seconds", ours["day"], "limit, s", LIMIT),
        _row(f"{name}, the weekly fit included, s", ours["week"], "limit, s", 2 * LIMIT),
        _row(f"{name}, seconds", ours["day"], "scipy.stats.betabinom, e-values alone", theirs["day"]),
        _row(f"{name}, peak memory, MB", ours["megabytes"], "limit: 4 states and 100 MB", 4 * state * CUSTOMERS
             * MODELS * KINDS / 1e6 + 100 + ours["before"]),
    ]  # fmt: skip


def _row(name: str, ours: float, against: str, theirs: float) -> dict[str, Any]:
    """Return a row in which less is better."""
    ratio = theirs / ours
    return {
        "name": name, "ours": ours, "against": against, "theirs": theirs, "ratio": ratio, "target": ">= 1",
        "holds": ratio >= 1,
    }  # fmt: skip


def _apart(which: str) -> dict[str, float]:
    """Measure one side in a process of its own."""
    command = [sys.executable, "-c", f"from benchmarks import divergence_day; divergence_day.{which}()"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answer: dict[str, float] = json.loads(told.splitlines()[-1])
    return answer


def _counts(draw: np.random.Generator, size: int) -> tuple[Any, Any]:
    n = draw.poisson(30, size)
    return draw.binomial(n, 0.25), n


def ours() -> None:
    """Measure our side; prints JSON."""
    from detection.divergence import POLICY, Watch, advance

    size, before = CUSTOMERS * MODELS * KINDS, _peak()
    draw = np.random.default_rng(1)
    x, n = _counts(draw, size)
    fresh = Watch.fresh(np.arange(size) % (MODELS * KINDS), learning=1)
    rings = [np.repeat(one[:, None], POLICY.recent, axis=1).astype(np.int32) for one in (x, n)]
    watch = replace(fresh, recent=np.full(size, POLICY.recent), recent_x=rings[0], recent_n=rings[1])
    del fresh, rings
    everybody, seconds = np.arange(size), []
    for period in range(POLICY.refit_every, 2 * POLICY.refit_every + 1):
        counts = _counts(draw, size)
        began = time.perf_counter()
        watch, _ = advance(watch, period, everybody, *counts, between_false_alarms=70_000.0)
        seconds.append(time.perf_counter() - began)
    _tell(day=float(np.median(seconds[1:-1])), week=seconds[-1], before=before)


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


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _tell(**figures: float) -> None:
    print(json.dumps({"megabytes": round(_peak()), **{name: round(one, 3) for name, one in figures.items()}}))
