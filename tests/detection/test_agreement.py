"""Agreement of experts: golden figures, the libraries' own, and intervals that hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from detection import agreement
from detection.agreement import AgreementPolicy, Given

POLICY = AgreementPolicy(resamples=400)
P, N, U = agreement.ANSWERS


def both(one: str, other: str) -> list[Given]:
    """Return the answers of experts 1 and 2, a letter each: "pnu"."""
    words = {"p": P, "n": N, "u": U}
    return [
        Given(item, expert, words[letter])
        for expert, letters in ((1, one), (2, other))
        for item, letter in enumerate(letters)
        if letter != "-"
    ]


def test_the_figures_of_a_hand_made_table():
    """50 items: 20 both positive, 15 both negative, 10 and 5 apart: the example of many textbooks, kappa 0.4."""
    table = both("p" * 20 + "p" * 5 + "n" * 10 + "n" * 15, "p" * 20 + "n" * 5 + "p" * 10 + "n" * 15)
    found = agreement.of_pairs(table, POLICY, default_rng(1))[1, 2]
    assert (found.items, found.agreed) == (50, 35)
    assert found.value == pytest.approx(0.4)
    whole = agreement.of_all(table, POLICY, default_rng(1))
    assert (whole.items, whole.agreed) == (50, 35)
    # 1 - (n - 1) * disagreeing pairs / product of the answers' counts: 1 - 99 * 15 * 2 / (2 * 45 * 55)
    assert whole.value == pytest.approx(1 - 99 * 15 / (45 * 55))


def test_the_example_of_krippendorff():
    """Two observers, ten items, nominal: alpha is 0.095 (Krippendorff 2011, Computing Krippendorff's Alpha, A)."""
    table = both("npnnnnnnpn", "pppnnpnnnn")
    assert agreement.of_all(table, POLICY, default_rng(1)).value == pytest.approx(0.095, abs=5e-4)


def test_what_one_expert_alone_answered_says_nothing():
    found = agreement.of_all(both("pnp", "---"), POLICY, default_rng(1))
    assert (found.items, found.value, found.low) == (0, None, None)
    assert agreement.of_pairs(both("pn-", "--p"), POLICY, default_rng(1)) == {}


def test_where_all_say_the_same_chance_explains_everything():
    found = agreement.of_all(both("p" * 30, "p" * 30), POLICY, default_rng(1))
    assert (found.items, found.agreed, found.value, found.low) == (30, 30, None, None)
    assert agreement.of_pairs(both("p" * 30, "p" * 30), POLICY, default_rng(1))[1, 2].value is None


def test_few_items_have_no_interval():
    few = agreement.of_all(both("pn" * 9, "pp" * 9), POLICY, default_rng(1))
    assert not few.is_enough
    assert few.low is None
    enough = agreement.of_all(both("pn" * 10, "np" + "pn" * 9), POLICY, default_rng(1))
    assert enough.is_enough
    assert enough.low < enough.value < enough.high


def test_with_others_counts_items_that_all_others_answered_alike():
    table = [Given(1, 1, P), Given(1, 2, P), Given(1, 3, N), Given(2, 1, N), Given(2, 3, N), Given(3, 1, P)]
    assert agreement.with_others(table) == {1: (2, 1), 2: (1, 0), 3: (2, 1)}


def test_the_same_seed_gives_the_same_interval():
    table = both("pnpupnnp" * 9, "pnnnpnup" * 9)
    assert agreement.of_all(table, POLICY, default_rng(7)) == agreement.of_all(table, POLICY, default_rng(7))


answers = st.lists(st.tuples(*[st.integers(0, 2)] * 2), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(answers)
def test_resamples_are_measured_as_the_libraries_do(rows):
    drawn = np.array(rows, np.int64)
    patterns, times = np.unique(drawn, axis=0, return_counts=True)
    own = agreement.kappas(patterns, times[None, :])[0]
    assert (agreement.kappa(drawn) is None) == (not np.isfinite(own))
    if np.isfinite(own):
        assert own == pytest.approx(agreement.kappa(drawn))
    counts = np.array([np.bincount(row, minlength=3) for row in drawn], np.int64)
    patterns, times = np.unique(counts, axis=0, return_counts=True)
    own = agreement.alphas(patterns, times[None, :])[0]
    assert (agreement.alpha(counts) is None) == (not np.isfinite(own))
    if np.isfinite(own):
        assert own == pytest.approx(agreement.alpha(counts))


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Two experts who see the truth and err in one of ten: kappa is 0.64 when half of all is positive."""
    random, held = default_rng(3), 0
    for _ in range(200):
        truth = random.random(150) < 0.5
        one, other = (np.where(random.random(150) < 0.1, ~truth, truth) for _expert in range(2))
        table = both("".join("np"[int(x)] for x in one), "".join("np"[int(x)] for x in other))
        found = agreement.of_pairs(table, POLICY, random)[1, 2]
        held += found.low <= 0.64 <= found.high
    assert 180 <= held <= 199
