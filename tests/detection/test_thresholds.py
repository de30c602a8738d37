from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.thresholds import raw_threshold, sigmoid

PROBABILITIES = st.floats(0, 1, exclude_min=True, exclude_max=True)


def test_golden_thresholds():
    assert raw_threshold(0.5) == -3.3306690738754686e-16
    assert raw_threshold(0.7) == 0.8472978603872034 == pytest.approx(math.log(0.7 / 0.3), abs=1e-15)
    assert sigmoid(-1e9) == 0.0
    assert sigmoid(1e9) == 1.0


@given(PROBABILITIES)
def test_it_is_the_smallest_raw_sum_that_reaches_the_threshold(p):
    raw = raw_threshold(p)
    assert sigmoid(raw) >= p
    assert sigmoid(math.nextafter(raw, -math.inf)) < p


@given(PROBABILITIES, st.floats(-50, 50))
def test_comparing_raw_sums_is_comparing_probabilities(p, raw):
    assert (raw >= raw_threshold(p)) == (sigmoid(raw) >= p)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1, 1.5, math.nan, math.inf])
def test_a_threshold_outside_is_refused(p):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        raw_threshold(p)


@pytest.mark.slow
def test_six_million_comparisons_of_sums_and_of_probabilities_agree():
    """A third of the thresholds are scores themselves, since experts set thresholds from scores."""
    draw = np.random.default_rng(7)
    raw = np.sort(draw.normal(0, 4, 2_000))
    scores = np.array([sigmoid(value) for value in raw.tolist()])
    thresholds = np.concatenate([draw.choice(scores, 1_000), draw.uniform(0.0001, 0.9999, 2_000)])
    for p in thresholds.tolist():
        np.testing.assert_array_equal(raw >= raw_threshold(p), scores >= p)
