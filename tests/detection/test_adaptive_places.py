"""Thresholds of a detector by place: the budget of each, from its own score counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.adaptive.places import LOWEST, PlaceDay, propose, score_counts
from detection.score_bins import score_bin
from detection.thresholds import sigmoid

RAW = st.lists(st.floats(-12, 20), min_size=60, max_size=300)


def day(raw):
    return PlaceDay(len(raw), score_counts(raw))


def some_days(sessions, number, seed=1, mean=1.0):
    """Return days whose surprises are exponential: the tail that a calibration assumes."""
    random = np.random.default_rng(seed)
    return [day(np.log(np.expm1(random.exponential(mean, sessions)))) for _ in range(number)]


def test_a_score_falls_into_the_bin_of_what_it_leaves_to_the_other_class():
    assert [score_bin(p) for p in (0.0, 0.04, 0.5, 0.99, 1.0)] == [0, 0, 13, 92, 799]
    raw = np.linspace(-30, 14, 441)  # above, doubles near 1 tell less than a bin
    summed = {}
    for one in raw.tolist():
        place = score_bin(sigmoid(one))
        summed[place] = summed.get(place, 0) + 1
    assert score_counts([*raw.tolist(), math.nan]) == summed


def test_by_hand():
    """1,000 sessions a day, 100 of them at 0.9 and 10 at 0.99, three days, 30 alerts wanted."""
    told = [PlaceDay(1000, {0: 890, score_bin(0.9): 100, score_bin(0.99): 10})] * 3
    found = propose(told, 30.0)
    assert (round(found.sessions), found.days, found.fit.mode) == (1000, 3, "tail")
    # only the edge at 46 * 0.05 nats has 50 sessions at or above it: 0.11 of all. Their mean excess is 0.234: H = 0.5
    s_star = 2.3 + 0.5 * math.log(0.11 / 0.03)
    assert found.fit.s_star == pytest.approx(s_star)
    assert found.threshold == pytest.approx(1 - math.exp(-s_star), abs=1e-4)
    assert 29.8 < found.expected <= 30.0
    assert (found.counted(0.9), found.counted(0.95)) == (pytest.approx(105, rel=0.05), pytest.approx(10))


def test_what_was_counted_often_enough_is_cut_where_it_was_counted():
    told = [PlaceDay(10_000, {0: 9_000, 46: 800, 60: 180, 92: 20})] * 40
    found = propose(told, 100.0)
    s_star = 0.05 * (60 + (0.02 - 0.01) / (0.02 - 0.002))
    assert (found.fit.mode, found.fit.s_star) == ("empirical", pytest.approx(s_star))
    assert found.threshold == pytest.approx(1 - math.exp(-s_star), abs=1e-4)
    assert found.counted(found.threshold) == pytest.approx(found.expected) == pytest.approx(100.0, rel=0.02)


def test_two_sites_of_different_volume_get_different_thresholds_from_the_same_budget():
    small, large = propose(some_days(400, 20), 5.0), propose(some_days(4000, 20), 5.0)
    assert small.threshold < large.threshold
    for one in (small, large):
        assert one.expected == pytest.approx(5.0, rel=0.01)
        assert one.expected <= 5.0 + 1e-9


def test_a_site_that_has_counted_too_little_gets_no_proposal():
    assert propose([], 5.0) is None
    few = propose([PlaceDay(20, {0: 20})], 5.0)
    assert few.threshold is None and math.isnan(few.expected)


def test_a_budget_that_asks_for_nothing_stays_at_the_lowest_threshold():
    found = propose([PlaceDay(1000, {0: 1000})] * 5, 50.0)
    assert found.threshold == LOWEST and found.is_lowest
    assert found.expected == 0.0


@settings(deadline=None, max_examples=60)
@given(RAW, st.floats(0.5, 20), st.floats(1.0, 4.0))
def test_a_larger_budget_never_asks_for_a_higher_threshold(raw, budget, times):
    low, high = propose([day(raw)], budget), propose([day(raw)], budget * times)
    assert high.threshold <= low.threshold


@settings(deadline=None, max_examples=60)
@given(RAW, st.integers(0, 59), st.floats(0, 10))
def test_a_session_that_scores_higher_never_lowers_what_is_expected(raw, place, more):
    raised = list(raw)
    raised[place] += more
    before, after = propose([day(raw)], 5.0), propose([day(raised)], 5.0)
    for threshold in (0.5, 0.9):
        assert after.counted(threshold) >= before.counted(threshold) - 1e-9


def test_the_budget_is_met_on_days_that_come():
    """30 days teach, 60 days are counted, three sites; within 15 % as for hosts at risk."""
    told = 0.0
    for seed in (1, 2, 3):
        days = some_days(3000, 90, seed=seed, mean=1.2)
        for index in range(30, 90, 10):
            threshold = propose(days[:index], 5.0).threshold
            edge = score_bin(threshold)
            told += sum(
                count for one in days[index : index + 10] for place, count in one.counts.items() if place > edge
            )
    assert told / 180 == pytest.approx(5.0, rel=0.15)
