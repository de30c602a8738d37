"""The gate: reports belong to (version, threshold, snapshot) and never change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models_registry.models import GateReport, Version
from models_registry.services import gates, scoring, snapshots
from models_registry.services.gates import run_gate
from tests.factories import put_rules_in_force
from tests.models_registry.loop import ATTACK, PAGE, keep_snapshot, make_loop, reference_row, right_rows
from traffic import storage

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(tmp_path: Path) -> Version:
    return make_loop(tmp_path)


def check(report: GateReport, name: str) -> dict[str, Any]:
    return next(one for one in report.report["checks"] if one["name"] == name)


def test_a_version_that_makes_no_mistake_may_leave(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows())
    report = run_gate(version)
    assert report.passed, report.report
    assert report.report["sentence"].endswith("may leave")
    assert check(report, "parity")["text"].startswith("0 of 242 raw scores differ")  # 2 rows, and 240 of the training


def test_a_false_positive_blocks_and_is_listed(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows(), reference_row(ATTACK, "negative", number=3))
    report = run_gate(version)
    assert not report.passed
    assert [row["key"].split("|")[1] for row in check(report, "reference")["rows"]] == ["3"]


def test_a_lost_unique_detect_blocks(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows(), reference_row(PAGE, "positive", number=3))
    assert not run_gate(version).passed


def test_a_lost_attack_that_rules_cover_warns(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows(), reference_row(PAGE, "positive", rule_hit=True, number=3))
    report = run_gate(version)
    assert report.passed
    assert check(report, "covered attacks")["figure"] == 1


def test_a_result_belongs_to_the_threshold(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows())
    assert run_gate(version).passed
    assert not run_gate(version, 0.999999).passed


def test_the_same_question_has_one_report(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows())
    assert run_gate(version) == run_gate(version)
    assert GateReport.objects.count() == 1


def test_one_more_label_changes_the_next_report_and_not_the_last(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows())
    before = run_gate(version)
    keep_snapshot(version.detector, *right_rows(), reference_row(ATTACK, "negative", number=3))
    after = run_gate(version)
    assert (before.passed, after.passed) == (True, False)
    assert GateReport.objects.get(pk=before.pk).report == before.report


def test_a_changed_rule_mapping_is_another_report(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows())
    before = run_gate(version)
    put_rules_in_force(version.detector, sids=[1])
    after = run_gate(version)
    assert before.report["digests"]["rule_mapping"] != after.report["digests"]["rule_mapping"]
    assert before.pk != after.pk


def test_without_a_reference_set_there_is_nothing_to_check(version: Version) -> None:
    with pytest.raises(gates.NothingToCheck, match="label items"):
        run_gate(version)


def test_evidence_of_one_class_is_not_enough(version: Version) -> None:
    keep_snapshot(version.detector, reference_row(PAGE, "negative"))
    assert not check(run_gate(version), "evidence")["passed"]


def test_an_unchanged_reference_set_is_one_snapshot(version: Version) -> None:
    first = keep_snapshot(version.detector, *right_rows())
    assert keep_snapshot(version.detector, *reversed(right_rows())) == first


def test_a_snapshot_that_changed_on_disk_is_refused(version: Version) -> None:
    snapshot = keep_snapshot(version.detector, *right_rows())
    storage.put_bytes(snapshot.path, b"nothing")
    with pytest.raises(snapshots.DamagedFile):
        run_gate(version)


def test_the_report_leads_with_what_the_version_flags_of_last_week(version: Version) -> None:
    keep_snapshot(version.detector, *right_rows())
    report = run_gate(version).report
    traffic = report["traffic"]
    assert traffic["traffic"]["sessions"] == 240
    files = version.score_files.get()  # the gate had the week scored
    assert traffic["positives"]["sessions"] == files.covered + files.unique_candidates > 0
    hosts, days = traffic["traffic"]["hosts"], traffic["days"]
    assert traffic["per_thousand_hosts_and_day"] == pytest.approx(
        traffic["positives"]["sessions"] / hosts * 1000 / days
    )
    assert report["checks"][0]["name"] == "traffic"
    assert report["missing"] == []


def test_a_segment_that_cannot_be_scored_makes_the_report_incomplete(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_snapshot(version.detector, *right_rows())

    def damaged(*_args: object) -> None:
        raise OSError("damaged")

    monkeypatch.setattr(scoring, "score_or_note", damaged)
    report = run_gate(version)
    assert not report.passed
    assert "incomplete: 1 of 1 segments have no scores" in check(report, "traffic")["text"]


def test_a_senior_lets_a_version_lose_a_named_attack(version: Version, senior: Any, engineer: Any) -> None:
    keep_snapshot(version.detector, *right_rows(), reference_row(PAGE, "positive", number=3))
    report = run_gate(version)
    [row] = check(report, "unique detects")["rows"]
    with pytest.raises(gates.LossRefused, match="by a senior"):
        gates.accept_loss(report, row["key"], engineer, "gone")
    with pytest.raises(gates.LossRefused, match="no such loss"):
        gates.accept_loss(report, "another", senior, "gone")
    gates.accept_loss(report, row["key"], senior, "this host is gone")
    assert not gates.is_current(report)
    again = run_gate(version)
    assert again.passed
    assert check(again, "unique detects")["rows"][0]["accepted"] == "this host is gone"
    keep_snapshot(version.detector, *right_rows(), reference_row(ATTACK, "negative", number=3))
    assert not run_gate(version).passed  # a false positive is never accepted
