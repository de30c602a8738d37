"""Drawing proof items: lots that anybody with the key can draw again, and nobody without it can foresee."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.sampling import SamplingPolicy, draw, inclusion_probability, lot, needs_second

KEY = b"a key of this test"
DAY = "http-attacks:7|2026-11-21"
SUBJECTS = [f"core-1|{number}|0|{number}" for number in range(20_000)]
POLICY = SamplingPolicy()


def test_few_positives_are_all_taken():
    assert inclusion_probability(0, POLICY) == 1.0
    assert inclusion_probability(2 * POLICY.target - 1, POLICY) == 1.0
    assert inclusion_probability(2 * POLICY.target, POLICY) == 0.5
    assert inclusion_probability(11_714, POLICY) == POLICY.target / 11_714
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
    assert POLICY.to_dict() == {"version": 1, "target": 50, "second_share": 0.2}
