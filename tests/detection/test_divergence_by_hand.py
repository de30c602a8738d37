"""All streams at once, against each of them by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.divergence import POLICY, Streams, fit_phi, fit_phi_of_sums, fit_prior, mean_over, step, sums_of
from tests.detection import divergence_by_hand as by_hand

EASY = dataclasses.replace(POLICY, between_false_alarms=20.0)  # so that some alarm

counts = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair)))
busy = st.tuples(st.integers(0, 9_000), st.integers(0, 9_000)).map(lambda pair: (min(pair), max(pair)))
record = st.one_of(counts, counts, busy)
fleet = st.lists(st.lists(record, min_size=4, max_size=4), min_size=3, max_size=14)
flags = st.lists(st.booleans(), min_size=4, max_size=4)
A0, B0, PHI = np.array([0.5, 4.0, 12.0, 40.0]), np.array([9.5, 12.0, 38.0, 10.0]), np.array([5.0, 60.0, 150.0, 1e5])


@settings(max_examples=25, deadline=None)
@given(fleet, st.integers(0, 4), flags)
def test_a_fleet_at_once_is_each_stream_by_hand(days, learning, frozen):
    streams = Streams.fresh(A0, B0, PHI)
    alone = [by_hand.Stream(EASY, *values) for values in zip(A0, B0, PHI, strict=True)]
    for period, told in enumerate(days):
        x, n = (np.array([pair[side] for pair in told]) for side in (0, 1))
        held = np.array(frozen) & (period > len(days) // 2)
        streams, looks = step(streams, period, x, n, learning=period < learning, frozen=held, policy=EASY)
        for row, stream in enumerate(alone):
            alarm, ticket, odds_ratio = stream.day(
                period, *told[row], learning=period < learning, frozen=bool(held[row])
            )
            assert (looks.alarm[row], looks.ticket[row]) == (alarm, ticket)
            if looks.tested[row]:
                assert looks.odds_ratio[row] == pytest.approx(odds_ratio, rel=1e-9)
    for row, stream in enumerate(alone):
        now = streams.take([row])
        assert (now.x[0], now.n[0]) == pytest.approx((stream.X, stream.N), rel=1e-9)
        assert (now.log_up[0], now.log_down[0]) == pytest.approx((stream.U, stream.D), rel=1e-6, abs=1e-6)
        assert [now.up_x[0], now.up_n[0], now.up_since[0]] == stream.up
        assert [now.down_x[0], now.down_n[0], now.down_since[0]] == stream.down


@settings(max_examples=40, deadline=None)
@given(fleet)
def test_precisions_of_all_and_of_each_are_those_by_hand(days):
    periods = [(row, *pair) for told in days for row, pair in enumerate(told) if pair[1] >= 2]
    of, x, n = (np.array([period[place] for period in periods], np.int64) for place in range(3))
    mu = mean_over(A0, B0, np.bincount(of, x, 4), np.bincount(of, n, 4))
    told = [(A0[row], B0[row], [pair for day in days for pair in [day[row]]]) for row in range(4)]
    assert fit_phi(x, n, mu[of]) == pytest.approx(by_hand.phi_of(told, POLICY), rel=1e-6)
    fleet, each = fit_phi_of_sums(sums_of(of, x, n, 4), A0, B0)
    assert fleet == pytest.approx(by_hand.phi_of(told, POLICY), rel=1e-6)
    assert each.tolist() == pytest.approx([by_hand.phi_of([one], POLICY) for one in told], rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(record, max_size=8))
def test_a_prior_is_the_one_by_hand(totals):
    x, n = ([pair[side] for pair in totals] for side in (0, 1))
    assert fit_prior(x, n) == pytest.approx(by_hand.prior_of(totals, POLICY), rel=1e-6)
