"""Cells of the board, reasons and the order of a queue."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.rules import RuleVerdict
from detection.selection import (
    CELL_CODES,
    Cause,
    Cell,
    Reason,
    SelectionPolicy,
    Spoken,
    Verdict,
    cell_of,
    cells,
    choose_reason,
    closeness,
    code_of,
    new_reasons,
    one_of_each_first,
    place_of,
    reasons,
    rounds,
    rule_verdict_of,
)

POLICY = SelectionPolicy()
YES = Verdict(True, 0.9, 0.7)
NO = Verdict(False, 0.1, 0.7)


def test_five_sessions_land_in_four_cells_and_the_column_apart() -> None:
    verdict = np.array([True, True, False, False, True])
    rules = np.array([2, 1, 2, 1, 0], dtype=np.int8)
    assert [CELL_CODES[code] for code in cells(verdict, rules)] == [
        Cell.COVERED,
        Cell.UNIQUE,
        Cell.MISSED,
        Cell.QUIET,
        Cell.UNINSPECTED_POSITIVE,
    ]


@given(st.booleans(), st.sampled_from(RuleVerdict))
def test_the_vectorised_board_is_the_board(positive: bool, rules: RuleVerdict) -> None:
    code = cells(np.array([positive]), np.array([rules], dtype=np.int8))
    assert code.dtype == np.int8
    assert CELL_CODES[code[0]] is cell_of(positive, rules)


def test_codes_in_stored_files_never_change() -> None:
    assert [cell.value for cell in CELL_CODES] == [
        "covered",
        "unique",
        "missed",
        "quiet",
        "uninspected-positive",
        "uninspected-negative",
    ]


@pytest.mark.parametrize(
    ("active", "others", "rules", "reason"),
    [
        (YES, [], RuleVerdict.CLEAN, Reason.UNIQUE_CANDIDATE),
        (YES, [NO], RuleVerdict.CLEAN, Reason.UNIQUE_CANDIDATE),
        (NO, [], RuleVerdict.HIT, Reason.MISSED),
        (YES, [NO], RuleVerdict.HIT, Reason.DISAGREEMENT),
        (NO, [YES], RuleVerdict.CLEAN, Reason.DISAGREEMENT),
        (Verdict(False, 0.61, 0.7), [], RuleVerdict.CLEAN, Reason.UNCERTAIN),
        (YES, [], RuleVerdict.HIT, None),
        (NO, [], RuleVerdict.CLEAN, None),
        (YES, [], RuleVerdict.NOT_INSPECTED, None),
        (NO, [], RuleVerdict.NOT_INSPECTED, None),
    ],
)
def test_the_strongest_reason_wins(
    active: Verdict, others: list[Verdict], rules: RuleVerdict, reason: Reason | None
) -> None:
    assert choose_reason(active, others, rules, POLICY) is reason


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(1, 10**9),
    st.integers(1, 10**6),
    st.floats(0, 1),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
def test_more_of_anything_never_lowers_the_place(
    score: float, threshold: float, sessions: int, hosts: int, more_score: float, more_sessions: int, more_hosts: int
) -> None:
    before = place_of(Reason.UNIQUE_CANDIDATE, score, threshold, sessions, hosts, POLICY).number
    after = place_of(
        Reason.UNIQUE_CANDIDATE, max(score, more_score), threshold, sessions + more_sessions, hosts + more_hosts, POLICY
    ).number
    assert math.isfinite(before) and before >= 0
    assert after >= before


def test_golden_places() -> None:
    assert place_of(Reason.MISSED, 0.7, 0.7, 0, 0, POLICY).number == 0.0
    assert place_of(Reason.MISSED, 1.0, 0.7, 100_000, 1_000, POLICY).number == pytest.approx(2.5)
    assert place_of(Reason.MISSED, 0.85, 0.7, 1, 1, POLICY).number == pytest.approx(
        0.5 + math.log(2) / math.log(1001) + 0.0301030, abs=1e-6
    )
    uncertain = place_of(Reason.UNCERTAIN, 0.65, 0.7, 0, 0, POLICY)
    assert (uncertain.number, uncertain.cause) == (pytest.approx(0.5), Cause.CLOSE)


def test_a_place_names_what_weighs_most() -> None:
    def cause(reason: Reason, score: float, hosts: int, turn: int = 0) -> Cause:
        return place_of(reason, score, 0.7, hosts, hosts, POLICY, turn).cause

    assert cause(Reason.UNIQUE_CANDIDATE, 0.99, 3) is Cause.MARGIN
    assert cause(Reason.UNIQUE_CANDIDATE, 0.75, 400) is Cause.HOSTS
    assert cause(Reason.MISSED, 0.1, 400, turn=1) is Cause.ROUND
    assert cause(Reason.UNIQUE_CANDIDATE, 0.75, 400, turn=1) is Cause.HOSTS  # these go by weight alone


def test_what_raises_a_place_is_a_part_of_it() -> None:
    place = place_of(Reason.MISSED, 0.1, 0.7, 9, 9, POLICY, turn=1)
    raised = place.plus(Cause.RAISED, 5.0)
    assert (raised.number, raised.cause) == (pytest.approx(place.number + 5.0), Cause.RAISED)
    assert place.plus(Cause.RAISED, 0.0) == place


def test_a_stored_policy_is_read_back_and_another_formula_is_not() -> None:
    assert SelectionPolicy.of_dict(POLICY.to_dict()) == POLICY
    assert SelectionPolicy.of_dict({"version": 1}) is None
    assert SelectionPolicy.of_dict({}) is None


def test_the_policy_is_a_value_that_names_its_version() -> None:
    assert POLICY.to_dict()["version"] == 2
    assert set(POLICY.to_dict()) == set(SelectionPolicy.__dataclass_fields__)


scores = st.floats(0, 1)
sessions = st.lists(st.tuples(scores, scores, st.sampled_from(RuleVerdict)), min_size=1, max_size=20)


def spoken(values: list[float], rules: list[RuleVerdict]) -> Spoken:
    score = np.array(values)
    return Spoken(score >= 0.7, score, 0.7, np.array([int(rule) for rule in rules], np.int8))


@given(sessions)
def test_the_vectorised_reason_is_the_reason(rows: list[tuple[float, float, RuleVerdict]]) -> None:
    rules = [rule for _mine, _other, rule in rows]
    mine, other = spoken([row[0] for row in rows], rules), spoken([row[1] for row in rows], rules)
    found = reasons(mine, [other], POLICY)
    for place, (score, others, rule) in enumerate(rows):
        verdicts = [Verdict(value >= 0.7, value, 0.7) for value in (score, others)]
        reason = choose_reason(verdicts[0], verdicts[1:], rule, POLICY)
        assert found[place] == (code_of(reason) if reason else 0)


@given(sessions)
def test_two_versions_show_a_session_once_whoever_comes_first(rows: list[tuple[float, float, RuleVerdict]]) -> None:
    rules = [rule for _mine, _other, rule in rows]
    a, b = spoken([row[0] for row in rows], rules), spoken([row[1] for row in rows], rules)
    first, second = new_reasons(a, [], POLICY), new_reasons(b, [a], POLICY)
    assert not np.any((first > 0) & (second > 0))
    swapped = (new_reasons(b, [], POLICY) > 0) | (new_reasons(a, [b], POLICY) > 0)
    assert np.array_equal((first > 0) | (second > 0), swapped)


def test_every_host_gets_one_before_anybody_gets_two() -> None:
    assert rounds(["a", "a", "b", "a", "c"], {}) == [0, 1, 0, 2, 0]
    assert rounds(["a", "b"], {"a": 2}) == [2, 0]


def test_one_of_each_look_and_host_comes_first() -> None:
    keys = [("x", "1"), ("x", "1"), ("x", "2"), ("x", "1"), ("y", "1")]
    assert one_of_each_first(keys, 3) == [0, 2, 4]
    assert one_of_each_first(keys, 4) == [0, 1, 2, 4]
    assert one_of_each_first(keys, 99) == [0, 1, 2, 3, 4]


def test_closeness_is_one_at_the_threshold_and_nothing_outside_the_band() -> None:
    assert closeness(0.7, 0.7, POLICY) == 1.0
    assert closeness(0.65, 0.7, POLICY) == pytest.approx(0.5)
    assert closeness(0.9, 0.7, POLICY) == 0.0


def test_a_cell_tells_what_the_rules_said() -> None:
    for rules in RuleVerdict:
        assert rule_verdict_of(cell_of(True, rules)) is rules
        assert rule_verdict_of(cell_of(False, rules)) is rules
