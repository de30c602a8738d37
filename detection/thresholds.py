"""Probabilities and the raw sums of a model: a verdict is decided on the sum, a person sees the probability."""

from __future__ import annotations

import math
import struct

FINEST = 1e-6  # of thresholds that are proposed above a score: people copy them into YAML


def sigmoid(raw: float) -> float:
    """Return 1 / (1 + exp(-raw)), the probability that belongs to a raw sum."""
    try:
        return 1.0 / (1.0 + math.exp(-raw))
    except OverflowError:
        return 0.0


def raw_threshold(p: float) -> float:
    """Return the smallest double r with sigmoid(r) >= p, for 0 < p < 1.

    `raw >= raw_threshold(p)` is then the same as `sigmoid(raw) >= p`, also for a p that was taken from a score.
    """
    if not 0.0 < p < 1.0:
        raise ValueError(f"a threshold is above 0 and below 1, not {p}")
    return least_raw(p)


def least_raw(p: float) -> float:
    """Return the smallest double r with sigmoid(r) >= p, for any p: found by bisection over all doubles.

    -inf where every sum will do, inf where none does."""
    if p <= 0.0 or p > 1.0:
        return -math.inf if p <= 0.0 else math.inf
    low, high = _order(-800.0), _order(800.0)  # sigmoid is 0 and 1 there
    while high - low > 1:
        middle = (low + high) // 2
        if sigmoid(_double(middle)) >= p:
            high = middle
        else:
            low = middle
    return _double(high)


def just_above(score: float) -> float:
    """Return the lowest threshold, to a millionth, at which a score is no verdict any more."""
    return min(1 - FINEST, math.floor(score / FINEST) * FINEST + FINEST)


def _order(value: float) -> int:
    # the bits of doubles, read as integers, have the order of the doubles once negative ones are mirrored
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)


def _double(order: int) -> float:
    bits = order if order >= 0 else -order | -0x8000_0000_0000_0000
    value: float = struct.unpack("<d", struct.pack("<q", bits))[0]
    return value
