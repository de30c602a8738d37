"""Where to put a threshold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detection.proposal import Proposal, propose, scout
from detection.thresholds import raw_threshold


def proposal(
    negatives: list[float],
    positives: list[float],
    *,
    cost: float = 10.0,
    weight: NDArray[np.float64] | None = None,
) -> Proposal:
    raw = np.array(negatives + positives, dtype=np.float64)
    label = np.array([0] * len(negatives) + [1] * len(positives), dtype=np.int8)
    return propose(raw, label, np.ones(len(raw)) if weight is None else weight, false_positive_cost=cost)


def test_the_threshold_stands_in_the_middle_of_the_gap() -> None:
    found = proposal([-4.0, -2.0], [2.0, 5.0])
    assert found.threshold == 0.5
    assert found.raw == pytest.approx(0.0, abs=1e-15)  # the smallest double whose probability is 0.5
    assert (found.gap_below_raw, found.gap_above_raw) == (-2.0, 2.0)
    assert (found.false_positives, found.lost_positives) == (0, 0)


def test_the_distance_to_the_nearest_negative_is_shown_both_ways() -> None:
    found = proposal([-4.0, -2.0], [2.0, 5.0])
    assert found.nearest_negative_raw == -2.0
    assert found.distance_raw == pytest.approx(2.0)
    assert found.nearest_negative == pytest.approx(0.119203, abs=1e-6)
    assert found.distance == pytest.approx(0.380797, abs=1e-6)


def test_a_false_positive_is_avoided_at_the_price_of_nine_attacks_and_not_of_eleven() -> None:
    # one negative stands above some positives: losing them costs 1 each, keeping it costs 10
    nine = proposal([-5.0, 1.0], [0.0] * 9 + [3.0])
    assert (nine.false_positives, nine.lost_positives) == (0, 9)
    eleven = proposal([-5.0, 1.0], [0.0] * 11 + [3.0])
    assert (eleven.false_positives, eleven.lost_positives) == (1, 0)


def test_of_equally_cheap_cuts_the_highest_is_taken() -> None:
    found = proposal([-5.0, 1.0], [0.0] * 10 + [3.0])
    assert (found.false_positives, found.lost_positives) == (0, 10)


def test_weights_count() -> None:
    light = np.array([1.0, 0.01] + [1.0] * 3)
    assert proposal([-5.0, 1.0], [0.0, 0.5, 3.0], weight=light).false_positives == 1
    assert proposal([-5.0, 1.0], [0.0, 0.5, 3.0]).false_positives == 0


def test_the_threshold_has_few_decimals_and_stays_in_a_narrow_gap() -> None:
    found = proposal([-1.0, 0.90], [0.91, 3.0])
    assert 0.90 < found.raw <= 0.91
    assert found.threshold == 0.712
    assert str(proposal([-3.0], [1.0]).threshold) == "0.27"


def test_equal_scores_of_both_classes_are_cut_on_one_side() -> None:
    found = proposal([0.0, -1.0], [0.0, 0.0])
    assert (found.false_positives, found.lost_positives) == (0, 2)
    assert "above every score" in found.note


def test_one_score_for_all_still_gives_a_threshold() -> None:
    found = proposal([0.5], [0.5])
    assert 0 < found.threshold < 1
    assert found.false_positives == 0


@pytest.mark.parametrize(("negatives", "positives"), [([], [1.0]), ([1.0], []), ([], [])])
def test_one_class_is_refused(negatives: list[float], positives: list[float]) -> None:
    with pytest.raises(ValueError, match="both classes"):
        proposal(negatives, positives)


@pytest.mark.parametrize("cost", [0.0, -1.0, math.nan, math.inf])
def test_a_cost_that_is_none_is_refused(cost: float) -> None:
    with pytest.raises(ValueError, match="false_positive_cost"):
        proposal([0.0], [1.0], cost=cost)


# few distinct values, so that ties are the normal case; and any finite ones
scores = st.lists(
    st.tuples(
        st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]) | st.floats(-800, 800, allow_nan=False),
        st.integers(0, 1),
        st.sampled_from([0.1, 0.3, 1.0, 2.5]),
    ),
    min_size=2,
    max_size=40,
).filter(lambda rows: len({label for _, label, _ in rows}) == 2)


def arrays(rows: list[tuple[float, int, float]]) -> tuple[NDArray[np.float64], NDArray[np.int8], NDArray[np.float64]]:
    raw, label, weight = zip(*rows, strict=True)
    return np.array(raw), np.array(label, dtype=np.int8), np.array(weight)


@given(scores, st.floats(0.01, 1_000), st.floats(1.0, 1_000))
def test_raising_the_cost_never_lowers_the_threshold(
    rows: list[tuple[float, int, float]], cost: float, factor: float
) -> None:
    low = propose(*arrays(rows), false_positive_cost=cost)
    high = propose(*arrays(rows), false_positive_cost=cost * factor)
    assert high.threshold >= low.threshold
    assert high.false_positives <= low.false_positives


def test_where_no_probability_names_the_gap_no_negative_gets_through() -> None:
    assert proposal([0.0], [1e-158]).false_positives == 0
    assert proposal([20.0], [math.nextafter(20.0, 21.0)]).false_positives == 0


@given(scores, st.floats(0.01, 1_000))
def test_no_other_cut_is_cheaper(rows: list[tuple[float, int, float]], cost: float) -> None:
    raw, label, weight = arrays(rows)
    raw = np.round(np.clip(raw, -15, 15), 3)  # between them every cut has a probability of its own
    found = propose(raw, label, weight, false_positive_cost=cost)
    assert 0.0 < found.threshold < 1.0
    assert found.raw == raw_threshold(found.threshold)

    def price(at: float) -> float:
        flagged = raw >= at
        return float(cost * weight[flagged & (label == 0)].sum() + weight[~flagged & (label == 1)].sum())

    cheapest = min(price(at) for at in [*raw.tolist(), math.inf])
    assert price(found.raw) == pytest.approx(cheapest, rel=1e-5, abs=1e-5)


def scouted(scores: list[float], kinds: list[str], questions: int, positives: list[float]) -> Proposal:
    raw = np.array([*scores, *positives], dtype=np.float64)
    label = np.array([0] * len(scores) + [1] * len(positives), dtype=np.int8)
    return scout(raw, label, [*kinds, *(["attack"] * len(positives))], questions=questions, question_cost=0.01)


def test_scouting_asks_about_so_many_kinds_and_no_more() -> None:
    found = scouted([5.0, 4.0, 3.0, 2.0, 1.0], ["a", "a", "b", "c", "d"], 2, [0.0, 6.0])
    assert (found.gap_below_raw, found.gap_above_raw) == (2.0, 3.0)
    assert found.false_positives == 3  # both sessions of kind a, and the one of kind b


def test_scouting_with_few_kinds_asks_about_all() -> None:
    assert scouted([1.0, 2.0], ["a", "b"], 60, [0.0, 3.0]).false_positives == 2


def test_scouting_asks_nothing_where_all_attacks_stand_higher() -> None:
    assert scouted([1.0, 2.0], ["a", "b"], 60, [3.0]).false_positives == 0


@given(
    st.lists(st.tuples(st.floats(-9, 9), st.sampled_from("abcdefgh")), min_size=1, max_size=40),
    st.integers(1, 8),
)
def test_the_budget_of_questions_is_kept(rows: list[tuple[float, str]], questions: int) -> None:
    scores, kinds = [score for score, _ in rows], [kind for _, kind in rows]
    found = scouted(scores, kinds, questions, [0.5])
    assert len({kind for score, kind in rows if score >= found.raw}) <= questions
