"""The bins in which scores are counted where no session may be kept: at the customer, and in days of his counts.

How surprising a score is, in nats, is what it leaves to the other class: s = -ln(1 - score). A module of its own: the
appliance counts by it and needs nothing else of `adaptive`."""

from __future__ import annotations

import math

WIDTH = 0.05  # nats
BINS = 800


def score_bin(score: float) -> int:
    """Return the bin of one score, a probability; plain Python, because it is asked per session."""
    if score >= 1:
        return BINS - 1
    return min(int(-math.log1p(-score) / WIDTH), BINS - 1)
