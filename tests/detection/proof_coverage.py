"""How often the upper bound of the error rate holds, by simulation: many samples of a known error rate at once."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detection.proof import Sums, bound, over

RATES = (0.001, 0.01, 0.05)
LABELS = (50, 200, 1_000, 3_000)
CORRELATIONS = (0.2, 0.5, 0.9)  # of errors within a host
SIZES = ("5", "25", "geometric", "zipf")
WEIGHTS = ("log-normal", "two-valued")  # cv 1, apart from the errors
AT_ONCE = 250  # repetitions that share one draw of cluster sizes


@dataclass(frozen=True)
class Design:
    """One row of the table."""

    labels: int
    rate: float
    correlation: float = 0.0
    sizes: str = "1"
    weights: str = "equal"

    def __str__(self):
        return f"{self.weights:>10} {self.sizes:>9} {self.correlation:>4} {self.labels:>6} {self.rate:>6}"


def designs() -> Iterator[Design]:
    for labels, rate in itertools.product(LABELS, (0.0, *RATES)):
        for weights in ("equal", *WEIGHTS):
            yield Design(labels, rate, weights=weights)
            for correlation, sizes in itertools.product(CORRELATIONS, SIZES) if rate else ():
                yield Design(labels, rate, correlation, sizes, weights)


def coverage(design: Design, repetitions: int, seed: int = 20_261_121) -> float:
    """Return the share of repetitions in which the true error rate lies at or below the bound."""
    rng = np.random.default_rng([seed, zlib.crc32(str(design).encode())])
    held = 0
    for start in range(0, repetitions, AT_ONCE):
        count = min(AT_ONCE, repetitions - start)
        held += int(np.sum(bound(_sums(design, count, rng)) >= design.rate))
    return held / repetitions


def _sums(design: Design, count: int, rng: np.random.Generator) -> Sums:
    sizes = _sizes(design, rng)
    if design.weights == "equal":
        errors = rng.binomial(sizes, _rates(design, (count, len(sizes)), rng)).astype(float)
        weights = np.broadcast_to(sizes.astype(float), errors.shape)
        squares = weights.sum(-1)
    else:
        each = _weights(design.weights, (count, design.labels), rng)
        rates = np.repeat(_rates(design, (count, len(sizes)), rng), sizes, axis=1)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        errors = np.add.reduceat(each * (rng.random(each.shape) < rates), starts, axis=1)
        weights = np.add.reduceat(each, starts, axis=1)
        squares = np.sum(each * each, -1)
    n = np.full(count, float(design.labels))
    return Sums(n, weights.sum(-1), squares, errors.sum(-1), *over(errors, weights))


def _rates(design: Design, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """The error rate of each cluster: beta distributed around the true one."""
    if design.correlation == 0 or design.rate == 0:
        return np.full(shape, design.rate)
    spread = (1 - design.correlation) / design.correlation
    return rng.beta(design.rate * spread, (1 - design.rate) * spread, shape)


def _sizes(design: Design, rng: np.random.Generator) -> np.ndarray:
    n = design.labels
    if design.sizes == "geometric":
        return _cut(rng.geometric(1 / 5, n), n)
    if design.sizes == "zipf":
        ranks = np.arange(1, n // 5 + 1)
        return _cut(np.maximum(1, np.round(n / ranks / np.sum(1 / ranks))).astype(int), n)
    return _cut(np.full(n, int(design.sizes)), n)


def _cut(sizes: np.ndarray, n: int) -> np.ndarray:
    """Return the first sizes that make n together; the last one is cut, or the first one takes what is missing."""
    before = np.cumsum(sizes) - sizes
    kept = np.minimum(sizes, n - before)[before < n]
    kept[0] += n - kept.sum()
    return kept


def _weights(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    if kind == "log-normal":
        return rng.lognormal(0.0, np.sqrt(np.log(2.0)), shape)
    return np.where(rng.random(shape) < 0.2, 6.0, 1.0)
