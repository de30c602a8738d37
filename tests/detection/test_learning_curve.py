"""What more labels would bring: measured on nested shares, and told only where it can be."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from detection.contract import HTTP_1
from detection.cross_validation import blocks_of_time, splits_by_time
from detection.learning_curve import average_precision, curve, nested_shares
from detection.training import TrainingPolicy, train
from tests.detection.make_training_rows import make_training_rows

POLICY = TrainingPolicy(trees=20, source_trees=10, leaves=7)
SIZES = (50, 100, 200, 400)


def folds(power: float, noise: float = 0.0) -> list[list[tuple[int, float]]]:
    draw = np.random.default_rng(4)
    return [[(n, level * n**-power * float(np.exp(noise * draw.normal()))) for n in SIZES] for level in (1, 1.5, 2, 3)]


def test_a_power_law_is_found_and_carried_on() -> None:
    found = curve(folds(0.5, noise=0.02), labels=500, more=500)
    assert found.power == pytest.approx(0.5, abs=0.05)
    assert found.forecast is not None
    assert (found.forecast.more, found.forecast.labels) == (500, 1_000)
    factor = ((SIZES[-1] + 500) / SIZES[-1]) ** -0.5
    assert found.forecast.error == pytest.approx(found.points[-1].error * factor, rel=0.05)
    assert found.forecast.low < found.forecast.error < found.forecast.high < found.points[-1].error


def test_the_forecast_reaches_no_further_than_twice_the_labels() -> None:
    found = curve(folds(0.5, noise=0.02), labels=120, more=500)
    assert found.forecast is not None and found.forecast.more == 120


def test_noise_is_no_promise() -> None:
    found = curve(folds(0.0, noise=0.3), labels=500, more=500)
    assert (found.forecast, found.why_not) == (None, "flat")
    assert found.power_low is not None and found.power_low <= 0


def test_folds_that_disagree_promise_nothing_and_deny_nothing() -> None:
    found = curve([[(n, n**-power) for n in SIZES] for power in (0.0, 0.1, 1.0, 1.5)], labels=500, more=500)
    assert (found.forecast, found.why_not) == (None, "noisy")


def test_no_error_left_is_said() -> None:
    assert curve([[(n, 0.0) for n in SIZES]] * 4, labels=500, more=500).why_not == "no error left"


def test_two_points_or_two_folds_tell_nothing() -> None:
    assert curve([[(50, 0.2), (100, 0.1)]] * 5, labels=200, more=500).why_not == "few points"
    assert curve([[(n, 1 / n) for n in SIZES]] * 2, labels=200, more=500).why_not == "few points"


def test_golden_average_precision() -> None:
    label = np.array([1, 0, 1, 0], dtype=np.int8)
    assert average_precision(np.array([4.0, 3.0, 2.0, 1.0]), label) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.zeros(4), label) == pytest.approx(0.5)  # ties share: no order is no knowledge
    assert average_precision(np.array([1.0, 0.0]), np.array([0, 0], dtype=np.int8)) == 0.0


def test_shares_are_nested_and_keep_groups_whole() -> None:
    group = [f"g{number // 5}" for number in range(100)]
    shares = nested_shares(group, np.arange(100), (0.25, 0.5, 1.0), seed=1)
    assert [len(share) for share in shares] == [25, 50, 100]
    assert set(shares[0]) <= set(shares[1]) <= set(shares[2])
    assert all(len({group[row] for row in share}) * 5 == len(share) for share in shares)


def test_the_curve_of_a_training_counts_what_people_judged_alone() -> None:
    rows = make_training_rows(240)
    rows = replace(rows, origin=["expert" if number % 2 else name for number, name in enumerate(rows.origin)])
    found = train(rows, HTTP_1, POLICY).report.learning_curve
    assert found.labels == 120
    assert len(found.points) == 4
    assert [point.labels for point in found.points] == sorted(point.labels for point in found.points)
    assert found.points[-1].labels == pytest.approx(120 * 4 / 5, abs=3)  # a fold is left out


@pytest.mark.parametrize(
    ("origin", "why"),
    [
        (["rule", "background"] * 120, "one class"),
        (["expert"] * 40 + ["background"] * 200, "few labels"),
    ],
)
def test_a_training_says_why_it_cannot_tell(origin: list[str], why: str) -> None:
    found = train(make_training_rows(240, origin=origin), HTTP_1, POLICY).report.learning_curve.to_dict()
    assert (found["why_not"], found["forecast"]) == (why, None)


def test_blocks_of_time_follow_each_other_and_are_asked_about_by_what_was_before() -> None:
    start = [7, None, 1, 2, 3, 4, 5, 6, 8, 8]
    blocks = blocks_of_time(start, 3)
    times = [[start[row] for row in block] for block in blocks]
    assert [max(one) < min(other) for one, other in itertools.pairwise(times)] == [True, True]  # type: ignore[type-var]
    assert sorted(row for block in blocks for row in block) == [0, 2, 3, 4, 5, 6, 7, 8, 9]
    for seen, unseen in splits_by_time(blocks):
        assert max(start[row] for row in seen) < min(start[row] for row in unseen)  # type: ignore[type-var]
    assert len(blocks_of_time([5] * 10, 4)) == 1
    assert blocks_of_time([None], 4) == []
