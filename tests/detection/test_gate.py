"""May a version leave? The gate's checks, their sentence and their digest."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.gate import ParityResult, ReferenceCase, SizeResult, check
from detection.gate_report import GatePolicy, Report

POLICY = GatePolicy()
PARITY = ParityResult(rows=1_000, mismatches=0)
SIZE = SizeResult(leaves=9_300, bytes=700_000)
THRESHOLD = 0.71
RAW = math.log(THRESHOLD / (1 - THRESHOLD))


def make_case(key: str = "1", answer: str = "positive", raw: float = 5.0, **changes: Any) -> ReferenceCase:
    values: dict[str, Any] = {"rule_hit": False, "role": "hold-out", "shape": "ab", "title": "GET example.com/"}
    return ReferenceCase(key=key, answer=answer, raw=raw, **(values | changes))


GOOD = (make_case("1"), make_case("2", "negative", -5.0, role="regression"))


def gate(cases: Any = GOOD, **changes: Any) -> Report:
    values: dict[str, Any] = {
        "threshold": THRESHOLD,
        "raw_threshold": RAW,
        "parity": PARITY,
        "size": SIZE,
        "policy": POLICY,
        "subject": "http-attacks:2",
    }
    return check(cases, **(values | changes))


def found(report: Report, name: str) -> dict[str, Any]:
    return next(entry for entry in report.to_dict()["checks"] if entry["name"] == name)


def test_a_version_without_a_wrong_row_may_leave() -> None:
    report = gate()
    assert report.passed
    assert report.sentence == "http-attacks:2 at 0.71 may leave"
    assert found(report, "reference")["text"] == "0 wrong of 2 (regression 1, hold-out 1)"


def test_one_false_positive_blocks_and_lists_the_row() -> None:
    wrong = make_case("sensor|7|0|1", "negative", 2.0, role="regression")
    report = gate((*GOOD, wrong))
    assert not report.passed
    assert report.sentence == "http-attacks:2 at 0.71 may not leave: 1 check failed"
    (row,) = found(report, "reference")["rows"]
    assert row["key"] == "sensor|7|0|1"
    assert row["raw"] == 2.0
    assert row["score"] == pytest.approx(0.880797, abs=1e-6)
    assert report.to_dict()["counts"]["regression"] == {"positive": 0, "negative": 2, "wrong": 1, "covered_lost": 0}


def test_a_lost_unique_detect_blocks() -> None:
    report = gate((*GOOD, make_case("3", "positive", -2.0, rule_hit=False)))
    assert not report.passed
    assert [row["key"] for row in found(report, "reference")["rows"]] == ["3"]


def test_a_lost_attack_that_rules_cover_is_listed_and_only_warns() -> None:
    report = gate((*GOOD, make_case("3", "positive", -2.0, rule_hit=True)))
    assert report.passed
    covered = found(report, "covered attacks")
    assert (covered["level"], covered["passed"]) == ("warn", False)
    assert [row["key"] for row in covered["rows"]] == ["3"]
    assert covered["text"] == "1 of 1 attacks that rules cover are lost"
    assert found(report, "reference")["rows"] == []


def test_complaints_that_it_fixes_are_named_and_those_that_it_does_not() -> None:
    def complaint(number: int, raw: float, title: str) -> ReferenceCase:
        return make_case(f"customer ACME {number}", "negative", raw, title=title)

    told = [complaint(9, -5.0, "C-9 · GET /a"), complaint(12, -5.0, "C-12 · GET /"), complaint(13, 5.0, "C-13 · GET /")]
    older = complaint(2, -5.0, "GET /C-3 · of a time before numbers")
    check = found(gate((*GOOD, *told, older)), "complaints")
    assert check["text"] == "3 of 4 confirmed complaints are fixed: C-12, C-9; still flagged: C-13"
    many = [complaint(number, -5.0, f"C-{number} · GET /") for number in range(1, 26)]
    assert found(gate((*GOOD, *many)), "complaints")["text"].endswith("C-7, C-6 and 5 more")


def test_a_score_exactly_on_the_threshold_fires() -> None:
    assert not gate((*GOOD, make_case("3", "negative", RAW))).passed
    assert gate((*GOOD, make_case("3", "negative", math.nextafter(RAW, -math.inf)))).passed
    assert gate((*GOOD, make_case("3", "positive", RAW))).passed


def test_forward_rows_are_counted_and_never_judged() -> None:
    forward = [make_case("f1", "negative", 9.0, role="forward"), make_case("f2", "positive", -9.0, role="forward")]
    report = gate((*GOOD, *forward))
    assert report.passed
    assert found(report, "reference")["text"].startswith("0 wrong of 2")
    assert report.to_dict()["counts"]["forward"] == {"positive": 1, "negative": 1}
    assert not gate(forward).passed  # nor are they evidence


@pytest.mark.parametrize("cases", [(), GOOD[:1], GOOD[1:]])
def test_without_rows_of_both_answers_there_is_no_evidence(cases: tuple[ReferenceCase, ...]) -> None:
    report = gate(cases)
    assert not report.passed
    assert [entry.name for entry in report.failures] == ["evidence"]


def test_more_evidence_can_be_asked_for_but_never_none() -> None:
    assert not gate(policy=GatePolicy(fewest_rows_per_class=2)).passed
    with pytest.raises(ValueError, match="no gate"):
        GatePolicy(fewest_rows_per_class=0)
    with pytest.raises(ValueError, match="no gate"):
        GatePolicy(fewest_parity_rows=0)


@pytest.mark.parametrize(
    ("parity", "text"),
    [
        (ParityResult(1_000, 1), "1 of 1,000 raw scores differ from the text model by any bit"),
        (ParityResult(0, 0), "at least 1 must be compared"),
    ],
)
def test_parity_is_bit_for_bit_and_needs_rows(parity: ParityResult, text: str) -> None:
    report = gate(parity=parity)
    assert [entry.name for entry in report.failures] == ["parity"]
    assert text in found(report, "parity")["text"]


def test_size_is_limited_in_leaves_and_bytes() -> None:
    assert gate(size=SizeResult(20_000, 8 * 2**20)).passed
    report = gate(size=SizeResult(20_001, 8 * 2**20 + 1))
    assert [entry.name for entry in report.failures] == ["leaves", "bytes"]
    assert report.sentence.endswith("may not leave: 2 checks failed")
    assert found(report, "leaves")["text"] == "20,001 leaves, at most 20,000"


def test_a_score_that_is_no_number_is_wrong_on_any_row() -> None:
    for answer in ("positive", "negative"):
        report = gate((*GOOD, make_case("nan", answer, math.nan, rule_hit=True)))
        assert not report.passed
        (row,) = found(report, "reference")["rows"]
        assert row["raw"] is None and row["score"] is None
        json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize("raw", [-math.inf, math.inf, -1e300, 1e300])
def test_endless_scores_are_judged_and_reported(raw: float) -> None:
    report = gate((*GOOD, make_case("end", "negative", raw)))
    assert report.passed is (raw < 0)
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0, 2.0, math.nan])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        gate(threshold=threshold)


def test_a_raw_threshold_of_another_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is not the one of 0\.5"):
        gate(threshold=0.5)


@pytest.mark.parametrize("changes", [{"answer": "undecided"}, {"role": "proof"}])
def test_what_is_no_reference_row_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is no reference row"):
        gate((make_case(**changes),))


cases_of_any_kind = st.lists(
    st.builds(
        make_case,
        key=st.integers(0, 99).map(str),
        answer=st.sampled_from(["positive", "negative"]),
        raw=st.floats(-20, 20) | st.just(RAW) | st.just(math.nan),
        rule_hit=st.booleans(),
        role=st.sampled_from(["regression", "hold-out", "forward"]),
    ),
    max_size=12,
)


@given(
    cases_of_any_kind, st.sampled_from(["false positive", "lost unique detect"]), st.integers(0, 1), st.integers(0, 1)
)
def test_a_wrong_row_never_turns_a_failed_gate_into_a_passed_one(
    cases: list[ReferenceCase], kind: str, mismatches: int, role: int
) -> None:
    wrong = make_case("w", "negative", 9.0) if kind == "false positive" else make_case("w", "positive", -9.0)
    wrong = make_case(wrong.key, wrong.answer, wrong.raw, role=["regression", "hold-out"][role])
    parity = ParityResult(10, mismatches)
    after = gate([*cases, wrong], parity=parity)
    assert not after.passed
    assert {entry.name for entry in gate(cases, parity=parity).failures} - {"evidence"} <= {
        entry.name for entry in after.failures
    }


@given(cases_of_any_kind)
def test_the_order_of_the_rows_does_not_matter(cases: list[ReferenceCase]) -> None:
    unique = list({case.key: case for case in cases}.values())
    shuffled = random.Random(1).sample(unique, len(unique))
    assert gate(unique).digest == gate(shuffled).digest


@given(cases_of_any_kind, st.floats(0.01, 0.98), st.floats(0.001, 0.5))
def test_a_higher_threshold_never_adds_a_false_positive(
    cases: list[ReferenceCase], threshold: float, more: float
) -> None:
    def false_positives(p: float) -> set[str]:
        report = gate(cases, threshold=p, raw_threshold=math.log(p / (1 - p)))
        return {row["key"] for row in found(report, "reference")["rows"] if row["answer"] == "negative"}

    assert false_positives(min(threshold + more, 0.99)) <= false_positives(threshold)


def test_the_digest_names_the_report_and_what_it_rests_on() -> None:
    assert gate().digest == gate().digest
    reports = [
        gate(),
        gate(threshold=0.5, raw_threshold=0.0),
        gate(subject="http-attacks:3"),
        gate(digests={"snapshot": "aa"}),
        gate(digests={"snapshot": "bb"}),
        gate(policy=GatePolicy(most_leaves=9_300)),
        gate((*GOOD, make_case("3"))),
    ]
    assert len({report.digest for report in reports}) == len(reports)
    assert gate().digest == "9a5cc08248d310f1014abdee1fd419e4ae607542b31971453ef84e33410374d0"


def test_the_report_is_plain_json() -> None:
    values = gate().to_dict()
    assert json.loads(json.dumps(values)) == values
    assert [entry["name"] for entry in values["checks"]] == [
        "reference",
        "unique detects",
        "covered attacks",
        "complaints",
        "evidence",
        "parity",
        "leaves",
        "bytes",
    ]
    assert set(values["checks"][0]) == {"name", "passed", "level", "figure", "limit", "text", "rows", "asked"}
