from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.divergence import (
    POLICY,
    Streams,
    between_false_alarms,
    fit_phi,
    fit_prior,
    fleet_counts,
    forget,
    log_beta_binomial,
    log_e_values,
    mcnemar,
    odds_shift,
    plain,
    prior_of_version,
    step,
    usual_shares,
)
from detection.divergence.check import main as check

DAYS = POLICY.learning


def learnt(days=DAYS, x=10, n=40, phi=150.0, prior=(4.0, 12.0)):
    """Return one stream after quiet days of learning."""
    streams = Streams.fresh(*prior, phi)
    for day in range(days):
        streams, _ = step(streams, day, [x], [n], learning=True)
    return streams


# ---- e-values


@pytest.mark.parametrize(
    ("x", "n", "mu", "phi", "e_up", "e_down"),
    [
        (10, 40, 0.25, 150, 0.17363, 0.20043),
        (25, 40, 0.25, 150, 1144.2, 0.010776),
        (1, 40, 0.25, 150, 0.02039, 128.44),
        (0, 0, 0.25, 150, 1, 1),
        (1000, 2000, 0.25, 150, 2.8671e05, 5.9239e-05),
        (5, 5, 0.05, 30, 171.29, 0.20304),
    ],
)
def test_worked_examples(x, n, mu, phi, e_up, e_down):
    up, down = log_e_values(x, n, mu, phi)
    assert float(plain(up)) == pytest.approx(e_up, rel=5e-5)
    assert float(plain(down)) == pytest.approx(e_down, rel=5e-5)


@pytest.mark.parametrize("n", [1, 2, 7, 25, 60])
@pytest.mark.parametrize("mu", [0.01, 0.25, 0.6, 0.97])
@pytest.mark.parametrize("phi", [5.0, 150.0, 1e5])
def test_a_shift_within_the_tolerance_gives_at_most_one_in_the_mean(n, mu, phi):
    x = np.arange(n + 1.0)
    up, down = (np.exp(logs) for logs in log_e_values(x, n, mu, phi))
    for ratio in (POLICY.delta, 1.0, 1 / POLICY.delta, 0.5, 0.05):
        for e, true in ((up, odds_shift(mu, ratio)), (down, odds_shift(mu, 1 / ratio))):
            pmf = np.exp(log_beta_binomial(x, np.float64(n), np.float64(phi * true), np.float64(phi * (1 - true))))
            assert pmf.sum() == pytest.approx(1, abs=1e-9)
            mean = float((pmf * e).sum())
            if ratio == POLICY.delta:
                assert mean == pytest.approx(1, abs=1e-9)
            else:
                assert mean <= 1 + 1e-9


@given(st.integers(1, 300), st.floats(0.001, 0.999), st.floats(5, 1e5))
def test_more_successes_speak_more_for_a_rise_and_less_for_a_fall(n, mu, phi):
    up, down = log_e_values(np.arange(n + 1), n, mu, phi)
    assert (np.diff(up) >= -1e-9).all()
    assert (np.diff(down) <= 1e-9).all()


# ---- streams


def test_days_of_learning_are_not_tested_and_teach():
    streams = learnt()
    assert streams.log_up[0] == -np.inf
    decay = 0.5 ** (1 / 30)
    assert streams.n[0] == pytest.approx(40 * (1 - decay**28) / (1 - decay))
    assert streams.mu[0] == pytest.approx((4 + streams.x[0]) / (16 + streams.n[0]))


def test_a_small_reference_is_not_tested_yet():
    streams, look = step(Streams.fresh(4.0, 12.0, 150.0), 0, [9], [10])
    assert not look.tested[0]
    assert streams.n[0] == 10
    _, look = step(dataclasses.replace(streams, n=np.array([14.0])), 1, [9], [10])
    assert look.tested[0]


def test_a_flood_of_false_positives_is_a_ticket_on_the_second_day():
    streams = learnt()
    streams, first = step(streams, 28, [25], [41])
    streams, second = step(streams, 29, [26], [41])
    assert not first.alarm[0]
    assert (second.alarm[0], second.ticket[0], second.upward[0]) == (True, True, True)
    assert (second.changed_x[0], second.changed_n[0], second.since[0]) == (51, 82, 28)
    assert second.odds_ratio[0] == pytest.approx(4.55, rel=0.1)


def test_a_model_gone_blind_is_found_downwards():
    streams = learnt()
    for day, (x, n) in enumerate([(0, 29), (3, 40)], DAYS):
        streams, look = step(streams, day, [x], [n])
    assert look.ticket[0]
    assert not look.upward[0]
    assert look.odds_ratio[0] < 0.5


def test_a_divergence_does_not_teach_the_reference():
    streams = learnt()
    frozen = None
    for day in range(DAYS, DAYS + 30):
        before = streams
        streams, look = step(streams, day, [30], [40])
        if look.statistic[0] >= POLICY.freeze_at:
            assert (streams.x[0], streams.n[0]) == (before.x[0], before.n[0])
            frozen = look.mu[0]
    assert frozen == streams.mu[0]
    quiet, _ = step(learnt(), DAYS, [10], [40], frozen=True)
    assert quiet.n[0] == learnt().n[0]


def test_a_day_without_counts_decays_the_reference_and_says_nothing():
    before, _ = step(learnt(), DAYS, [12], [40])
    after, look = step(before, DAYS + 1, [0], [0])
    assert not look.tested[0]
    assert (after.log_up[0], after.log_down[0]) == (before.log_up[0], before.log_down[0])
    assert after.n[0] == pytest.approx(before.n[0] * 0.5 ** (1 / 30))


def test_an_alarm_of_few_trials_is_no_ticket():
    streams = learnt(x=1, n=5, prior=(4.0, 26.0))
    streams, look = step(streams, DAYS, [9], [9], between_false_alarms=2)
    assert look.alarm[0]
    assert not look.ticket[0]
    assert look.changed_n[0] < POLICY.least_trials


def test_busy_days_are_scaled_for_the_test_and_whole_in_the_reference():
    _, look = step(learnt(), DAYS, [6_000], [12_000], between_false_alarms=1e30)
    assert look.changed_n[0] == 12_000
    up, _ = log_e_values(1_000, 2_000, look.mu[0], 150.0)
    assert look.e_up[0] == pytest.approx(float(np.exp(up)))


def test_after_an_incident_a_side_begins_anew():
    streams = learnt()
    for day in range(DAYS, DAYS + 3):
        streams, _ = step(streams, day, [30], [40])
    kept = forget(streams, np.array([True]))
    assert kept.log_up[0] == -np.inf
    assert (kept.up_x[0], kept.up_since[0], kept.x[0]) == (0, -1, streams.x[0])
    assert forget(streams, np.array([True]), reference=True).n[0] == 0
    assert forget(streams, np.array([False])).log_up[0] == streams.log_up[0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=4, max_size=24), st.randoms())
def test_replay_gives_the_same_state_and_the_order_of_customers_does_not_matter(pairs, random):
    days = [[(min(pair), max(pair)) for pair in pairs[start : start + 4]] for start in range(0, len(pairs) - 3, 4)]
    order = list(range(4))
    random.shuffle(order)
    prior = np.array([2.0, 4.0, 10.0, 30.0])

    def play(columns):
        streams = Streams.fresh(prior[columns], prior[columns] * 3, 150.0)
        for day, counts in enumerate(days):
            x, n = zip(*(counts[column] for column in columns), strict=True)
            streams, _ = step(streams, day, x, n)
        return streams

    straight, shuffled = play(list(range(4))), play(order)
    for name in ("x", "n", "log_up", "log_down", "up_x", "down_n", "up_since"):
        values = getattr(straight, name)
        assert values.tobytes() == getattr(play(list(range(4))), name).tobytes()
        assert values[order].tobytes() == getattr(shuffled, name).tobytes()


@pytest.mark.parametrize("share", [0, 1])
@pytest.mark.parametrize("n", [1, 200, 10**6, 10**12])
@pytest.mark.parametrize("phi", [5.0, 1e5])
def test_extremes_stay_finite_for_months(share, n, phi):
    streams = learnt(phi=phi, x=1, n=100)
    for day in range(DAYS, DAYS + 60):
        streams, look = step(streams, day, [share * n], [n])
        assert np.isfinite(look.statistic).all()
        assert np.isfinite(look.odds_ratio).all()
        assert 0 < streams.mu[0] < 1
    assert np.isfinite(streams.log_up).all()
    json.dumps(look.statistic.tolist(), allow_nan=False)


@pytest.mark.parametrize(
    ("x", "n", "says"),
    [([-1], [4], "cannot be"), ([5], [4], "5 of 4"), ([1.0], [4], "whole numbers"), ([1, 2], [4, 4], "expected 1")],
)
def test_counts_that_cannot_be_are_refused(x, n, says):
    with pytest.raises(ValueError, match=says):
        step(learnt(), DAYS, x, n)


def test_without_change_alarms_are_rarer_than_promised():
    """300 streams for a year with the right precision: fewer than one false alarm a stream."""
    draw = np.random.default_rng(5)
    size, alarms = 300, 0
    streams = Streams.fresh(np.full(size, 20.0), 60.0, 150.0)
    mu = draw.beta(20, 60, size)
    for day in range(DAYS + 365):
        n = draw.poisson(30, size)
        x = draw.binomial(n, draw.beta(150 * mu, 150 * (1 - mu)))
        streams, look = step(streams, day, x, n, learning=day < DAYS)
        alarms += int(look.alarm.sum())
        streams = forget(streams, look.alarm)
    assert alarms < size
    assert alarms < 60  # measured: 0.04 a stream-year


# ---- fitting


def test_few_customers_or_none_give_a_weak_prior():
    assert fit_prior([3, 5], [10, 20]) == pytest.approx((2.741935, 7.258065), rel=1e-6)
    assert fit_prior([], []) == pytest.approx((5.0, 5.0))
    assert fit_prior([0, 0, 0], [10, 10, 10]) == pytest.approx((10 * 0.5 / 31, 10 - 10 * 0.5 / 31))
    assert sum(fit_prior([0, 0, 0, 0], [10, 10, 10, 0])) == pytest.approx(10)


def test_alike_customers_give_a_prior_of_the_largest_weight():
    assert sum(fit_prior([25] * 40, [100] * 40)) == pytest.approx(50)
    assert sum(fit_prior([0, 100] * 20, [100] * 40)) == pytest.approx(2)


def test_precision_is_found_again_and_bounded():
    draw = np.random.default_rng(3)
    n = draw.integers(20, 200, 20_000)
    x = draw.binomial(n, draw.beta(150 * 0.3, 150 * 0.7, 20_000))
    assert fit_phi(x, n, np.full(20_000, 0.3)) == pytest.approx(150, rel=0.1)
    assert fit_phi([1, 0], [1, 1], [0.3, 0.3]) == 50
    assert fit_phi([30] * 9, [100] * 9, [0.3] * 9) == 1e5
    assert fit_phi([0, 100] * 9, [100] * 18, [0.5] * 18) == 5


def test_a_new_version_starts_from_what_the_old_one_showed():
    assert prior_of_version(0.2) == pytest.approx((10, 40))


def test_no_customer_weighs_more_than_a_tenth_of_the_fleet():
    x, n = fleet_counts(np.array([5, 900, 0]), np.array([10, 1_000, 0]), volume=500.0)
    assert (x, n) == (50, 60)


def test_the_whole_fleet_raises_as_many_false_incidents_as_asked():
    assert between_false_alarms(200_000, 1) == 70_000
    assert between_false_alarms(200_000, 2) == 35_000
    assert between_false_alarms(10, 1) == 365
    with pytest.raises(ValueError, match="more than 0"):
        between_false_alarms(10, 0)


def test_two_versions_are_compared_by_what_only_one_flags():
    assert mcnemar(0, 0) == 1
    assert mcnemar(0, 10) == pytest.approx(2 * 0.5**10)
    assert mcnemar(7, 7) == 1
    with pytest.raises(ValueError, match="0 or more"):
        mcnemar(-1, 3)


@pytest.mark.parametrize(
    ("n", "mu", "phi"), [(20, 0.25, 150.0), (60, 0.5, 20.0), (400, 0.1, 1e5), (2_000, 0.25, 150.0)]
)
def test_a_usual_day_lies_within_its_interval_nineteen_times_of_twenty(n, mu, phi):
    low, high = usual_shares(n, mu, phi)
    x = np.arange(n + 1.0)
    pmf = np.exp(log_beta_binomial(x, np.float64(n), np.float64(phi * mu), np.float64(phi * (1 - mu))))
    assert pmf[(x / n >= low) & (x / n <= high)].sum() == pytest.approx(0.95, abs=0.03)
    assert 0 < low < mu < high < 1


# ---- the check by vectors


def test_the_vectors_agree(shared_data, capsys):
    vectors = shared_data.parent / "specs" / "vectors" / "telemetry_divergence.json"
    if not vectors.exists():
        pytest.skip("no vectors beside the shared data")
    assert check(["check", str(vectors)]) == 0
    assert "mismatches 0" in capsys.readouterr().out


def vectors(**changes):
    config = {"delta": 1.15, "ratios": [1.5, 2.5, 5.0, 10.0], "days_between_false_alarms": 365.0, "prior_cap": 50.0,
              "phi_lo": 5.0, "phi_hi": 1e5, "ref_half_life": 30.0, "freeze_at": 10.0, "min_ref": 30.0, "min_ticket": 20,
              "min_effect": 1.5, "n_cap": 2000}  # fmt: skip
    steps = [{"day": 0, "x": 1, "n": 4, "learn_only": True, "mu": 0.25, "up": 0.0, "down": 0.0, "stat": 0.0,
              "alarm": False, "ticket": False}]  # fmt: skip
    stream = {"name": "quiet", "a0": 1, "b0": 3, "phi": 150, "steps": steps, "final_X": 1.0, "final_N": 4.0}
    empty = {"log_beta_binomial": [], "odds_shift": [{"mu": 0.25, "odds_ratio": 2, "mu_shifted": 0.4}], "fit_fleet": [],
             "fit_phi": [], "e_values": [], "streams": [stream]}  # fmt: skip
    return {"config": config} | empty | changes


def test_a_wrong_number_is_a_mismatch_and_says_where(tmp_path, capsys):
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps(vectors()))
    assert check(["check", str(path)]) == 0
    assert capsys.readouterr().out == "cases 9, mismatches 0, largest relative error 0\n"
    path.write_text(json.dumps(vectors(odds_shift=[{"mu": 0.25, "odds_ratio": 2, "mu_shifted": 0.41}])))
    assert check(["check", str(path)]) == 1
    assert "odds_shift[0]: expected 0.41" in capsys.readouterr().out


def test_what_must_not_be_produced_is_a_mismatch(tmp_path):
    told = vectors()
    told["streams"][0]["steps"][0]["e_up"] = 1.0
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps(told))
    assert check(["check", str(path)]) == 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config": {}}', None])
def test_a_file_that_is_none_is_said(tmp_path, capsys, content):
    path = tmp_path / "vectors.json"
    if content is not None:
        path.write_text(content)
    assert check(["check", str(path)]) == 2
    assert "vectors.json" in capsys.readouterr().out
    assert check(["compare"]) == 2


def test_the_module_is_a_program(tmp_path):
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps(vectors()))
    done = subprocess.run(
        [sys.executable, "-m", "detection.divergence", "check", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "cases 9, mismatches 0, largest relative error 0\n")
