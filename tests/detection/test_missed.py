"""Missed share: the figures to the digit, and an interval that holds as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from detection import missed
from detection.missed import MissedRow, Stratum, missed_share
from detection.proof import ProofRow, bound, prove


def rows(labels: int, misses: int = 0, undecided: int = 0, chance: float = 1.0, hosts: int | None = None):
    return [
        MissedRow(
            chance,
            number < misses,
            misses <= number < misses + undecided,
            f"10.0.0.{number % (hosts or labels)}",
            f"site{number}.example",
        )
        for number in range(labels)
    ]


# golden numbers


def test_nothing_found_in_one_stratum_is_the_rule_of_three_and_a_bit():
    found = missed_share([Stratum("clean/low", 100_000, rows(59))])
    assert (found.share, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 59), abs=1e-12)
    assert found.high == pytest.approx(0.0606089, abs=1e-7)
    assert (found.estimated, found.at_least, found.at_most) == (0.0, 0, 6_061)


def test_one_stratum_of_independent_labels_is_clopper_pearson():
    found = missed_share([Stratum("clean/high", 1_000, rows(20, misses=3))])
    assert found.share == pytest.approx(0.15)
    assert found.low == pytest.approx(beta.ppf(0.025, 3, 18), abs=1e-12)
    assert found.high == pytest.approx(beta.ppf(0.975, 4, 17), abs=1e-12)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0321, 0.3789)  # of any table


def test_strata_are_weighed_by_their_sessions_and_share_the_error():
    found = missed_share([Stratum("clean/low", 900, rows(10)), Stratum("clean/high", 100, rows(10, misses=1))])
    assert found.share == pytest.approx(0.01)
    assert found.high == pytest.approx(0.9 * (1 - 0.0125**0.1) + 0.1 * beta.ppf(0.9875, 2, 9), abs=1e-12)
    assert found.high == pytest.approx(0.3683881, abs=1e-7)
    assert found.low == pytest.approx(0.1 * beta.ppf(0.0125, 1, 10), abs=1e-12)
    assert [one.high for one in found.strata] == pytest.approx([0.3548050, 0.4906361], abs=1e-7)


def test_probabilities_weigh_within_a_stratum():
    mixed = [*rows(10, misses=1, chance=0.1), *rows(10, chance=1.0)]
    assert missed_share([Stratum("clean/low", 110, mixed)]).share == pytest.approx(10 / 110)


def test_clusters_count_not_labels():
    on_few = missed_share([Stratum("clean/low", 1_000, rows(59, hosts=5))])
    assert on_few.high == pytest.approx(1 - 0.025 ** (1 / 5), abs=1e-12)


# what is said where little is known


def test_without_an_answer_nothing_is_said():
    assert missed_share([]) is None
    assert missed_share([Stratum("clean/low", 10, [])]) is None


def test_a_stratum_without_an_answer_may_be_all_missed_or_none():
    found = missed_share([Stratum("clean/low", 900, []), Stratum("clean/high", 100, rows(50))])
    assert found.share is None
    assert found.estimated is None
    assert found.low == 0.0
    assert found.high > 0.9


def test_undecided_opens_the_interval_and_moves_no_point():
    decided = missed_share([Stratum("clean/low", 1_000, rows(30, misses=2))])
    open_ = missed_share([Stratum("clean/low", 1_000, rows(30, misses=2, undecided=3))])
    assert open_.share == decided.share
    assert open_.high > decided.high
    assert open_.low == decided.low
    assert open_.high == missed_share([Stratum("clean/low", 1_000, rows(30, misses=5))]).high


STRATA = st.lists(
    st.tuples(st.integers(0, 10**7), st.integers(0, 40), st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 1)),
    min_size=1,
    max_size=9,
)


@given(STRATA)
def test_the_point_lies_in_an_interval_that_lies_in_0_to_1(drawn):
    strata = [
        Stratum(
            str(number), sessions, rows(labels, int(labels * part), int((labels - int(labels * part)) * doubt), chance)
        )
        for number, (sessions, labels, part, doubt, chance) in enumerate(drawn)
    ]
    found = missed_share(strata)
    if found is None:
        assert not any(stratum.rows for stratum in strata if stratum.sessions)
        return
    assert -1e-12 <= found.low <= found.high <= 1 + 1e-12
    assert found.sessions == sum(stratum.sessions for stratum in strata)
    assert found.labels == found.missed + found.undecided + sum(
        not row.missed and not row.undecided for one in strata if one.sessions for row in one.rows
    )
    if found.share is not None:
        assert found.low - 1e-9 <= found.share <= found.high + 1e-9


@given(st.integers(1, 60), st.integers(0, 60), st.floats(0.5, 0.9999))
def test_more_confidence_never_makes_a_smaller_bound(labels, misses, confidence):
    some = [ProofRow(1.0, number < misses, str(number), str(number)) for number in range(labels)]
    hosts, _domains = missed.proof._by_host_and_domain(some)
    assert bound(hosts, confidence) <= bound(hosts, (1 + confidence) / 2) + 1e-12
    if confidence <= 0.95:
        assert prove(some).error_bound >= float(bound(hosts, confidence)) - 1e-12


# how often it holds


POPULATIONS = {
    "all misses where scores are high": ((90_000, 0.0), (9_000, 0.0), (1_000, 0.3)),
    "a few everywhere": ((90_000, 0.002), (9_000, 0.01), (1_000, 0.05)),
    "all misses where scores are low": ((90_000, 0.03), (9_000, 0.0), (1_000, 0.0)),
    "none": ((90_000, 0.0), (9_000, 0.0), (1_000, 0.0)),
    "half of a small band": ((90_000, 0.0), (9_000, 0.0), (1_000, 0.5)),
}


@pytest.mark.parametrize("population", POPULATIONS)
@pytest.mark.parametrize("labels", [15, 60])
def test_the_interval_holds_at_least_95_times_in_100(population, labels):
    """2,000 samples of a known population; answers come from as many hosts."""
    rng = np.random.default_rng([20_261_122, labels, len(population)])
    strata = POPULATIONS[population]
    truth = sum(sessions * rate for sessions, rate in strata) / sum(sessions for sessions, _rate in strata)
    known = {
        (number, misses): missed_share([Stratum("", 1, rows(labels, misses)), *[Stratum("", 1, [])] * 2]).strata[0]
        for number in range(3)
        for misses in range(labels + 1)
    }
    held = 0
    for _ in range(2_000):
        drawn = [known[number, rng.binomial(labels, rate)] for number, (_sessions, rate) in enumerate(strata)]
        low, high = (
            sum(sessions * getattr(one, end) for (sessions, _rate), one in zip(strata, drawn, strict=True)) / 100_000
            for end in ("low", "high")
        )
        held += low <= truth + 1e-12 and truth <= high + 1e-12
    assert held / 2_000 >= 0.95
