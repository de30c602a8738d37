"""A day of a whole fleet, against the same by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.divergence import (
    POLICY,
    Closing,
    Policy,
    Watch,
    advance,
    close,
    compare,
    expected_false_alarms,
    fleet_volume,
    hold,
    in_force,
    prior_of_version,
    silent,
    together,
)
from tests.detection import divergence_by_hand as by_hand

SMALL = dataclasses.replace(POLICY, learning=3, recent=6, own_phi=4, refit_every=3, between_false_alarms=20.0)

counts = st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair)))
busy = st.tuples(st.integers(0, 9_000), st.integers(0, 9_000)).map(lambda pair: (min(pair), max(pair)))
record = st.one_of(st.none(), counts, counts, busy)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(record, min_size=5, max_size=5), min_size=4, max_size=16),
    st.lists(st.integers(0, 1), min_size=5, max_size=5),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_a_fleet_at_once_is_each_stream_by_hand(days, groups, held):
    watch = Watch.fresh(groups, policy=SMALL)
    streams = [by_hand.Stream(group, SMALL, learning=SMALL.learning) for group in groups]
    for period, records in enumerate(days):
        if period == len(days) // 2:
            watch = hold(watch, np.flatnonzero(held))
            for stream, open_ in zip(streams, held, strict=True):
                stream.held = open_
        told = {row: pair for row, pair in enumerate(records) if pair is not None}
        x, n = (np.array([pair[side] for pair in told.values()], np.int64) for side in (0, 1))
        watch, looks = advance(watch, period, list(told), x, n, policy=SMALL)
        said = by_hand.day(streams, period, told, SMALL)
        for place, row in enumerate(told):
            alarm, ticket, odds_ratio = said[row]
            assert (looks.alarm[place], looks.ticket[place]) == (alarm, ticket)
            if looks.tested[place]:
                assert looks.odds_ratio[place] == pytest.approx(odds_ratio, rel=1e-9)
    for row, stream in enumerate(streams):
        now = watch.take([row]).streams
        assert (now.a0[0], now.b0[0]) == pytest.approx((stream.a0, stream.b0), rel=1e-9)
        assert now.phi[0] == pytest.approx(stream.phi, rel=1e-6)
        assert (now.x[0], now.n[0]) == pytest.approx((stream.X, stream.N), rel=1e-9)
        assert (now.log_up[0], now.log_down[0]) == pytest.approx((stream.U, stream.D), rel=1e-6, abs=1e-6)
        assert [now.up_x[0], now.up_n[0], now.up_since[0]] == stream.up
        assert [now.down_x[0], now.down_n[0], now.down_since[0]] == stream.down
        assert watch.learning[row] == stream.learning


def played(days, policy=POLICY, customers=4, first=0, seed=1, watch=None):
    """Return a quiet fleet after so many days, and the counts it was given."""
    draw = np.random.default_rng(seed)
    watch = Watch.fresh(np.zeros(customers, int), policy=policy) if watch is None else watch
    told = []
    for period in range(first, first + days):
        n = draw.poisson(40, len(watch))
        x = draw.binomial(n, draw.beta(150 * 0.25, 150 * 0.75, len(watch)))
        watch, looks = advance(watch, period, np.arange(len(watch)), x, n, policy=policy)
        told.append((period, x, n, looks))
    return watch, told


def same(one, other):
    others = other.columns()
    return all(values.tobytes() == others[name].tobytes() for name, values in one.columns().items())


def test_learning_ends_with_a_prior_of_the_fleet_and_a_phi():
    before, _ = played(27)
    assert before.learning.tolist() == [1] * 4
    assert before.streams.phi.tolist() == [50.0] * 4
    after, told = played(28)
    assert after.learning.tolist() == [0] * 4
    assert after.learnt_n.tolist() == np.sum([n for _, _, n, _ in told], axis=0).tolist()
    assert len(set(after.streams.a0.tolist())) == 1
    assert (after.streams.phi != 50).all()
    assert not told[-1][3].tested.any()
    assert played(29)[1][-1][3].tested.all()


def test_a_prior_is_fitted_once_and_phi_every_week():
    watch, _ = played(28)
    later, _ = played(6, first=29, seed=3, watch=played(29)[0])  # periods 29 to 34: none is a multiple of 7
    assert later.streams.phi.tolist() == played(29)[0].streams.phi.tolist()
    week, _ = played(1, first=35, seed=4, watch=later)
    assert week.streams.phi.tolist() != later.streams.phi.tolist()
    assert week.streams.a0.tolist() == watch.streams.a0.tolist()


def test_a_version_starts_from_the_old_reference_and_learns_a_week():
    prior = prior_of_version(0.2)
    watch = Watch.fresh([0], prior=prior, learning=POLICY.learning_of_versions)
    watch, told = played(8, watch=watch)
    assert told[6][3].tested.tolist() == [False]
    assert told[7][3].tested.tolist() == [True]
    assert (watch.streams.a0[0], watch.streams.b0[0]) == prior


def test_a_missing_record_is_not_a_zero():
    watch, _ = played(30)
    after, _ = advance(watch, 30, [0, 2], np.array([3, 3]), np.array([12, 12]))
    assert same(after.take([1, 3]), watch.take([1, 3]))
    assert after.streams.n[0] != watch.streams.n[0]


def test_three_missing_days_are_silence():
    watch, _ = played(30, customers=2)
    for period in (30, 31, 32):
        watch, _ = advance(watch, period, [0], np.array([3]), np.array([12]))
        assert silent(watch, period).tolist() == ([1] if period == 32 else [])
    assert silent(Watch.fresh([0]), 99).tolist() == []


def test_a_stream_has_one_record_a_period_and_time_goes_forward():
    watch, _ = played(2)
    with pytest.raises(ValueError, match="one record"):
        advance(watch, 2, [0, 0], np.array([1, 1]), np.array([4, 4]))
    with pytest.raises(ValueError, match="stream 3: period 1 is not after 1"):
        advance(watch, 1, [3], np.array([1]), np.array([4]))


def test_a_replay_with_what_was_in_force_gives_the_same_streams():
    start, _ = played(30)
    now, told = played(20, first=30, seed=2, watch=start)
    again = Watch.of({name: values.copy() for name, values in start.columns().items()})
    for period, x, n, looks in told:
        again = in_force(again, looks.a0, looks.b0, looks.phi)
        again, _ = advance(again, period, np.arange(4), x, n, refit=False)
    again = in_force(again, now.streams.a0, now.streams.b0, now.streams.phi)
    assert same(again, now)


def test_the_order_of_records_does_not_matter():
    start, _ = played(34)
    x, n = np.array([3, 9, 12, 40]), np.array([40, 41, 42, 43])
    order = np.array([2, 0, 3, 1])
    straight, _ = advance(start, 35, np.arange(4), x, n)
    shuffled, _ = advance(start, 35, order, x[order], n[order])
    assert same(straight, shuffled)


def test_some_streams_are_taken_put_back_and_joined():
    watch, _ = played(30)
    later, _ = played(3, first=30, watch=watch)
    mixed = watch.put([1, 3], later.take([1, 3]))
    assert same(mixed.take([0, 2]), watch.take([0, 2]))
    assert same(mixed.take([3]), later.take([3]))
    assert len(watch.joined(Watch.fresh([7]))) == 5


@pytest.mark.parametrize("how", list(Closing))
def test_closing_an_incident(how):
    watch, _ = played(30)
    held = hold(watch, [1])
    for period in range(30, 40):
        held, looks = advance(held, period, [1], np.array([30]), np.array([40]))
    assert looks.ticket.tolist() == [True]
    done = close(held, np.array([1]), how)
    assert not done.held.any()
    assert done.streams.log_statistic[1] == -math.inf
    assert (done.streams.up_n[1], done.streams.up_since[1]) == (0, -1)
    anew = how in {Closing.NEW_NORMAL, Closing.HEURISTICS_CHANGED}
    assert (done.streams.n[1] == 0) == anew
    assert done.learning[1] == (28 if anew else 0)
    assert (done.recent[1], done.learnt_n[1] == 0) == ((0, True) if anew else (watch.recent[1], False))
    assert same(done.take([0, 2, 3]), held.take([0, 2, 3]))


def test_a_new_normal_is_learnt_for_four_weeks_and_gets_a_prior_of_its_own():
    watch, _ = played(30)
    watch = close(watch, [0], Closing.NEW_NORMAL)
    for period in range(30, 58):
        watch, looks = advance(watch, period, [0], np.array([30]), np.array([40]))
        assert not looks.tested[0]
    assert watch.streams.a0[0] != watch.streams.a0[1]
    watch, looks = advance(watch, 58, [0], np.array([30]), np.array([40]))
    assert (looks.tested[0], looks.alarm[0]) == (True, False)


def test_an_open_incident_keeps_the_reference_and_still_counts_the_day():
    watch, _ = played(30)
    held, _ = advance(hold(watch, [0]), 30, [0], np.array([10]), np.array([40]))
    assert held.streams.n[0] == watch.streams.n[0]
    assert held.last[0] == 30


# ---- alarms of many


def test_three_customers_and_a_tenth_of_a_version_are_a_fleet():
    alarms = {"version": [8, 8, 8, 8, 9, 9, 9], "customer": [1, 2, 3, 3, 1, 2, 3], "upward": [1, 1, 1, 1, 1, 1, 0]}
    found = together(**alarms, customers_on={8: 30, 9: 3})
    assert [(one.version, one.upward, one.customers) for one in found] == [(8, True, (1, 2, 3))]
    assert together(**alarms, customers_on={8: 31, 9: 3}) == []


def test_both_numbers_of_false_alarms_are_told():
    assert expected_false_alarms(200_000, 70_000) == pytest.approx((20.0, 1.0))


def test_the_volume_of_a_fleet_is_its_mean_day():
    assert fleet_volume([400, 600]) == 500
    assert fleet_volume([]) == 0


def test_two_versions_are_compared_exactly():
    told = compare(3, 17)
    assert told.more == "b"
    assert told.p == pytest.approx(2 * sum(math.comb(20, k) for k in range(4)) / 2**20)
    assert compare(4, 4).more == ""


def test_a_policy_can_be_stored():
    assert Policy(**dataclasses.asdict(POLICY)) == POLICY
