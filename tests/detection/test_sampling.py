"""Drawing proof items: lots that anybody with the key can draw again, and nobody without it can foresee."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.sampling import SamplingPolicy, draw, draw_many, inclusion_probability, lot, needs_second, strata

KEY = b"a key of this test"
DAY = "http-attacks:7|2026-11-21"
SUBJECTS = [f"core-1|{number}|0|{number}" for number in range(20_000)]
POLICY = SamplingPolicy()


def test_few_positives_are_all_taken():
    assert inclusion_probability(0, POLICY.target) == 1.0
    assert inclusion_probability(2 * POLICY.target - 1, POLICY.target) == 1.0
    assert inclusion_probability(2 * POLICY.target, POLICY.target) == 0.5
    assert inclusion_probability(11_714, POLICY.target) == POLICY.target / 11_714
    assert draw(KEY, DAY, SUBJECTS, 1.0).all()


def test_replaying_a_day_draws_the_same_sessions():
    first = draw(KEY, DAY, SUBJECTS, 0.1)
    assert (draw(KEY, DAY, SUBJECTS, 0.1) == first).all()
    # session by session, in any order and company
    backwards = draw(KEY, DAY, SUBJECTS[::-1], 0.1)[::-1]
    assert (backwards == first).all()
    assert draw(KEY, DAY, SUBJECTS[5:6], 0.1)[0] == first[5]


def test_golden_lots():
    drawn = draw(KEY, DAY, SUBJECTS[:60], 0.1)
    assert drawn.nonzero()[0].tolist() == [15, 18, 22, 23, 40, 46, 48, 52]


def test_other_keys_days_and_versions_draw_others():
    first = draw(KEY, DAY, SUBJECTS, 0.1)
    for other in (draw(b"another", DAY, SUBJECTS, 0.1), draw(KEY, "http-attacks:8|2026-11-21", SUBJECTS, 0.1)):
        assert 0.05 < (other & first).sum() / first.sum() < 0.15


def test_as_many_enter_as_the_probability_says():
    assert draw(KEY, DAY, SUBJECTS, 0.1).sum() == pytest.approx(2_000, abs=150)
    seconds = sum(needs_second(KEY, DAY, subject, POLICY) for subject in SUBJECTS)
    assert seconds == pytest.approx(0.2 * len(SUBJECTS), abs=200)


def test_who_is_answered_twice_does_not_depend_on_who_entered():
    entered = draw(KEY, DAY, SUBJECTS, 0.1)
    seconds = [needs_second(KEY, DAY, subject, POLICY) for subject in SUBJECTS]
    both = sum(second for second, inside in zip(seconds, entered, strict=True) if inside)
    assert both / entered.sum() == pytest.approx(0.2, abs=0.04)


def test_a_higher_probability_keeps_whom_a_lower_one_took():
    assert (draw(KEY, DAY, SUBJECTS, 0.3) >= draw(KEY, DAY, SUBJECTS, 0.1)).all()


@given(st.text(), st.text())
def test_lots_lie_between_nothing_and_one(scope, subject):
    assert 0.0 <= lot(KEY, "enter", scope, subject) < 1.0


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="key"):
        lot(b"", "enter", DAY, "x")
    for probability in (0.0, 1.1):
        with pytest.raises(ValueError, match="inclusion probability"):
            draw(KEY, DAY, ["x"], probability)
    with pytest.raises(ValueError, match="target"):
        SamplingPolicy(target=0)
    with pytest.raises(ValueError, match="second_share"):
        SamplingPolicy(second_share=2)


def test_the_policy_is_a_value_that_names_its_version():
    assert POLICY.to_dict() == {"version": 2, "target": 50, "missed_target": 5, "second_share": 0.2}


# negatives: one keyed stream for each file, day and stratum


def test_many_are_drawn_by_one_stream_that_can_be_drawn_again():
    first = draw_many(KEY, DAY, 100_000, 0.01)
    assert (draw_many(KEY, DAY, 100_000, 0.01) == first).all()
    assert (draw_many(KEY, DAY, 50_000, 0.01) == first[:50_000]).all()
    assert first.sum() == pytest.approx(1_000, abs=120)
    assert draw_many(KEY, DAY, 100, 1.0).all()
    for other in (draw_many(b"another", DAY, 100_000, 0.01), draw_many(KEY, f"{DAY}|2", 100_000, 0.01)):
        assert (first & other).sum() < 40


def test_a_golden_stream():
    assert draw_many(KEY, DAY, 60, 0.1).nonzero()[0].tolist() == [10, 11, 21, 28, 35, 43, 47, 59]


def test_strata_are_bands_below_the_threshold_and_rule_verdicts():
    """Threshold 0.8: low below 0.08, middle below 0.4, high up to it."""
    scores = [0.0799999, 0.08, 0.3999999, 0.4, 0.79, 0.01, 0.5]
    rules = np.array([1, 1, 1, 1, 1, 0, 2], np.int8)
    found = strata(np.array([math.log(p / (1 - p)) for p in scores]), rules, 0.8)
    assert {name: rows.nonzero()[0].tolist() for name, rows in found.items()} == {
        "not_inspected/low": [5],
        "clean/low": [0],
        "clean/middle": [1, 2],
        "clean/high": [3, 4],
        "hit/high": [6],
    }


@given(st.lists(st.tuples(st.floats(-50, 50), st.integers(0, 2)), max_size=200), st.floats(0.001, 0.999))
def test_each_negative_is_in_exactly_one_stratum(sessions, threshold):
    raw, rules = np.array([r for r, _v in sessions]), np.array([v for _r, v in sessions], np.int8)
    found = strata(raw, rules, threshold)
    assert sum(rows.sum() for rows in found.values()) == len(sessions)
    assert all(rows.any() for rows in found.values())
