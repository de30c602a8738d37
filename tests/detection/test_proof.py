"""Proof: the figures of the specification to the digit, and bounds that hold as often as they say."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection import proof
from detection.proof import ProofRow, Sums, labels_needed, prove
from tests.detection.proof_coverage import LABELS, Design, coverage, designs


def independent(labels: int, errors: int = 0) -> list[ProofRow]:
    return [ProofRow(1.0, number < errors, f"10.0.0.{number}", f"site{number}.example") for number in range(labels)]


def on_hosts(hosts: int, each: int, errors: int = 0) -> list[ProofRow]:
    """The first hosts hold all errors, whole."""
    return [
        ProofRow(1.0, host < errors, f"h{host}", f"d{host}-{session}")
        for host in range(hosts)
        for session in range(each)
    ]


# the figures of the specification


@pytest.mark.parametrize(
    ("labels", "errors", "target"),
    [(299, 0, 0.99), (2_995, 0, 0.999), (29_956, 0, 0.9999), (473, 1, 0.99), (628, 2, 0.99), (1_049, 5, 0.99)],
)
def test_so_many_independent_labels_prove_so_much_and_one_less_does_not(labels, errors, target):
    assert prove(independent(labels, errors)).precision_bound >= target
    assert prove(independent(labels - 1, errors)).precision_bound < target
    assert labels_needed(independent(errors, errors), target) == labels - errors


@pytest.mark.parametrize("labels", [1, 2, 50, 299, 3_000])
def test_without_errors_the_bound_is_the_zero_error_rule(labels):
    found = prove(independent(labels))
    assert found.error_bound == pytest.approx(1 - 0.05 ** (1 / labels), rel=1e-12)
    assert found.effective == labels


def test_golden_bounds():
    assert prove(independent(299)).error_bound == pytest.approx(0.009969146792899269, rel=1e-12)
    assert prove(independent(412, 4)).error_bound == pytest.approx(0.02207861107264898, rel=1e-9)  # Clopper-Pearson


def test_ktalk_is_exposed_by_one_random_label():
    precision = 484 / 11_714
    assert round(100 * precision, 1) == 4.1
    assert round(100 * (1 - precision), 1) == 95.9
    assert round(100 * (1 - precision**2), 1) == 99.8


def test_sessions_of_one_host_are_one_witness():
    """11,230 sessions on 785 hosts count as 785 clusters at most."""
    rows = [ProofRow(1.0, False, f"h{number % 785}", f"d{number}") for number in range(11_230)]
    found = prove(rows)
    assert (found.labels, found.hosts, found.effective, found.decided_by) == (11_230, 785, 785, "hosts")
    assert found.error_bound == pytest.approx(1 - 0.05 ** (1 / 785), rel=1e-12)


def test_both_units_are_shown():
    """37 of 21,038 sessions, and 15 of 256 hosts."""
    assert round(100 * 37 / 21_038, 2) == 0.18
    assert round(100 * 15 / 256, 1) == 5.9
    rows = [ProofRow(1.0, host < 15, f"h{host}", f"d{host}") for host in range(256)]
    rows += [ProofRow(1.0, number < 22, f"h{number % 15}", f"d{number % 15}") for number in range(22)]
    rows += [ProofRow(1.0, False, f"h{15 + number % 241}", f"d{15 + number % 241}") for number in range(20_760)]
    found = prove(rows)
    assert (found.labels, found.errors, found.hosts) == (21_038, 37, 256)
    assert (found.hosts_wrong, found.domains_wrong) == (15, 15)
    assert round(100 * found.error_rate, 2) == 0.18
    assert found.decided_by in ("hosts", "domains")
    assert found.error_bound > 15 / 256


# the parts


def test_the_error_rate_weighs_by_inverse_probability():
    rows = [ProofRow(0.1, True, "a", "a"), ProofRow(1.0, False, "b", "b"), ProofRow(0.5, False, "c", "c")]
    assert prove(rows).error_rate == pytest.approx(10 / 13)


def test_the_variance_between_clusters_by_hand():
    # w = 2, 1, 1; y = 1, 0, 1; clusters a, a, b; e = 3/4; z_a = (2 * 1/4 - 3/4) / 4 = -1/16, z_b = 1/16
    rows = [ProofRow(0.5, True, "a", "x"), ProofRow(1.0, False, "a", "y"), ProofRow(1.0, True, "b", "z")]
    hosts, _domains = proof._by_host_and_domain(rows)
    assert float(proof.variance(hosts)) == pytest.approx(2 * (1 / 256 + 1 / 256))
    assert float(proof.kish_size(hosts)) == pytest.approx(16 / 6)
    assert float(proof.effective_size(hosts)) == pytest.approx(16 / 6)  # n (1 - e) e / ... gives 3.85: more than Kish


def test_the_effective_size_by_hand():
    # six hosts of two sessions each, one of them wrong: e = 1/6, v = 6/5 * (5/36 * 1/36 + 25/36 * 1/36) = 1/36
    hosts, _domains = proof._by_host_and_domain(on_hosts(6, 2, errors=1))
    assert float(proof.variance(hosts)) == pytest.approx(1 / 36)
    # 12 * 5/36 / (11/36) * (t_11 / t_5)^2 with t = 1.795884819, 2.015048373
    assert float(proof.effective_size(hosts)) == pytest.approx(60 / 11 * (1.795884819 / 2.015048373) ** 2, rel=1e-8)


def test_equal_weights_and_single_clusters_give_the_number_of_labels():
    hosts, _domains = proof._by_host_and_domain(independent(412, 4))
    assert float(proof.effective_size(hosts)) == pytest.approx(412)


def test_errors_that_sit_together_weigh_more():
    apart, together = prove(independent(500, 5)), prove(on_hosts(100, 5, errors=1))
    assert apart.error_rate == together.error_rate
    assert together.error_bound > apart.error_bound


def test_one_cluster_is_judged_by_the_cluster_line_alone():
    rows = [ProofRow(1.0, False, "h", f"d{number}") for number in range(1_000)]
    assert prove(rows).error_bound == pytest.approx(0.95)
    assert prove(rows).decided_by == "hosts"


def test_domains_are_clusters_too():
    rows = [ProofRow(1.0, False, f"h{number}", f"d{number % 3}") for number in range(1_000)]
    found = prove(rows)
    assert (found.effective, found.decided_by) == (3, "domains")
    assert found.error_bound == pytest.approx(1 - 0.05 ** (1 / 3))


def test_nothing_but_errors_bounds_nothing():
    assert prove(independent(20, 20)).precision_bound == 0.0
    assert labels_needed(independent(20, 20), 0.99) > 2_000


def test_no_answers_no_proof():
    assert prove([]) is None
    assert labels_needed([], 0.99) == 299


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1, math.nan])
def test_an_impossible_probability_is_refused(probability):
    with pytest.raises(ValueError, match="inclusion probability"):
        prove([ProofRow(probability, False, "a", "b")])


def test_the_figures_can_be_stored():
    figures = prove(independent(412, 4)).to_dict()
    assert figures["precision"] == pytest.approx(1 - 4 / 412)
    assert set(figures) >= {"labels", "errors", "hosts", "domains", "effective", "decided_by", "precision_bound"}


some_rows = st.lists(
    st.builds(
        ProofRow,
        st.sampled_from([0.05, 0.25, 1.0]),
        st.sampled_from([False, False, False, True]),
        st.sampled_from([f"h{number}" for number in range(12)]),
        st.sampled_from([f"d{number}" for number in range(12)]),
    ),
    min_size=1,
    max_size=40,
)


@given(some_rows)
def test_the_bound_lies_above_the_estimate_and_an_error_more_never_lowers_it(rows):
    found = prove(rows)
    assert 0 <= found.error_rate <= found.error_bound <= 1
    for number, row in enumerate(rows):
        if not row.wrong:
            worse = [*rows[:number], ProofRow(row.probability, True, row.host, row.domain), *rows[number + 1 :]]
            assert prove(worse).error_rate > found.error_rate
            break


@given(some_rows, st.integers(0, 2**32))
def test_the_order_of_the_answers_does_not_matter(rows, seed):
    shuffled = sorted(rows, key=lambda row: hash((seed, row)))
    assert prove(shuffled).error_bound == pytest.approx(prove(rows).error_bound, rel=1e-9)


@settings(max_examples=30, deadline=None)
@given(some_rows, st.sampled_from([0.5, 0.8, 0.9]))
def test_labels_needed_is_the_smallest_number_that_is_enough(rows, target):
    needed = labels_needed(rows, target)
    mean = len(rows) / sum(1 / row.probability for row in rows)

    def with_clean(more):
        return prove([*rows, *(ProofRow(mean, False, f"new{n}", f"new{n}") for n in range(more))]).precision_bound

    assert with_clean(needed) >= target - 1e-9
    if needed:
        assert with_clean(needed - 1) < target + 1e-9


def test_false_alerts_are_counted_per_thousand_hosts_and_day():
    found = prove(independent(299, 1))
    alerts = proof.false_alerts(found, positives=11_714, hosts=785, days=7)
    assert alerts.rate == pytest.approx(11_714 / 299 / 0.785 / 7)
    assert alerts.bound == pytest.approx(found.error_bound * 11_714 / 0.785 / 7)
    with pytest.raises(ValueError, match="host and day"):
        proof.false_alerts(found, positives=1, hosts=0, days=1)


# coverage: how often the bound holds (section 6, test 1)


@pytest.mark.parametrize(
    "design",
    [
        Design(200, 0.01),
        Design(200, 0.05, 0.5, "zipf"),
        Design(1_000, 0.05, 0.9, "5"),
        Design(200, 0.05, 0.5, "geometric", "log-normal"),
        Design(200, 0.0, weights="two-valued"),
    ],
    ids=str,
)
def test_the_bound_holds_in_a_few_designs(design):
    assert coverage(design, 2_000) >= 0.935  # 2,000 repetitions scatter by half a point


def test_a_simulated_sample_is_summed_like_a_real_one():
    rows = on_hosts(7, 3, errors=2)
    hosts, _domains = proof._by_host_and_domain(rows)
    assert [float(value) for value in hosts] == [21, 21, 21, 6, 7, 18, 18, 63, 2]
    assert isinstance(hosts, Sums)


@pytest.mark.slow
@pytest.mark.parametrize("labels", LABELS)
def test_the_bound_holds_95_times_in_100_in_every_design(labels, capsys):
    found = [(coverage(design, 10_000), design) for design in designs() if design.labels == labels]
    lines = [f"{100 * held:6.2f} {design}" for held, design in sorted(found, key=lambda pair: pair[0])]
    head = f"coverage of the 95 % bound, 10,000 repetitions, n = {labels}: {len(found)} designs, lowest first"
    with capsys.disabled():
        sys.stdout.write("\n".join(["", head, "  held    weights     sizes  corr labels   rate", *lines, ""]))
    assert min(held for held, _design in found) >= 0.94
