"""Weak labels from rules, and versions from frozen training sets."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from detection.training import TrainingImpossible, train, write_training_set
from models_registry.models import Stage, StageChange
from models_registry.services import scoring, snapshots, versions
from models_registry.services import training as training_services
from models_registry.services.detectors import make_detector
from models_registry.services.training import receive_training_set, train_version, weak_rows
from tests.models_registry.loop import SPEC, first_version, hit, http, make_loop, records, take_in
from traffic import storage

pytestmark = pytest.mark.django_db


def test_rules_teach_attacks_and_inspected_silence_teaches_background(tmp_path: Path) -> None:
    take_in(tmp_path, records())
    rows = weak_rows(make_detector(SPEC))
    assert (rows.label.sum(), len(rows)) == (31, 240)
    assert set(rows.origin) == {"rule", "background"}
    assert set(rows.source) == {"office"}


def test_traffic_that_nobody_inspected_teaches_nothing(tmp_path: Path) -> None:
    take_in(tmp_path, [http(flow, "/") for flow in range(1, 20)])
    assert len(weak_rows(make_detector(SPEC))) == 0


def test_a_flow_level_hit_on_a_flow_of_several_sessions_teaches_nothing(tmp_path: Path) -> None:
    flow_hit = {k: v for k, v in hit(2_000).items() if k != "tx_id"}
    alone = {k: v for k, v in hit(3_000).items() if k != "tx_id"}
    take_in(tmp_path, [http(2_000, "/a"), http(2_000, "/b", tx_id=1), flow_hit, http(3_000, "/c"), alone])
    rows = weak_rows(make_detector(SPEC))
    assert [key.split("|")[1] for key in rows.key] == ["3000"]


def test_background_that_a_version_flagged_is_no_background(tmp_path: Path) -> None:
    version = make_loop(tmp_path)
    before = weak_rows(version.detector)
    scoring.score_waiting()
    after = weak_rows(version.detector)
    flagged = version.score_files.get().unique_candidates
    assert flagged > 0
    assert len(before) - len(after) == flagged
    assert after.label.sum() == before.label.sum()


def test_much_background_is_thinned_the_same_way_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take_in(tmp_path, records())
    detector = make_detector(SPEC)
    monkeypatch.setattr(training_services, "BACKGROUND_ROWS", 50)
    rows = weak_rows(detector)
    assert rows.label.sum() == 31
    assert 20 < (rows.label == 0).sum() < 90
    assert write_training_set(rows) == write_training_set(weak_rows(detector))


def test_the_first_version_starts_silent_and_the_next_as_candidate(tmp_path: Path) -> None:
    first = make_loop(tmp_path)
    second = first_version(first.detector)
    assert (first.number, first.stage) == (1, Stage.SILENT)
    assert (second.number, second.stage) == (2, Stage.CANDIDATE)
    assert StageChange.objects.get(version=first).new == Stage.SILENT


def test_the_same_training_set_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make_loop(tmp_path)
    monkeypatch.setattr(training_services, "train", train)  # trained anew, not remembered
    again = train_version(first.training_set)
    assert (again.onnx_digest, again.text_digest, again.threshold) == (
        first.onnx_digest,
        first.text_digest,
        first.threshold,
    )


def test_files_are_what_their_digests_say(tmp_path: Path) -> None:
    version = make_loop(tmp_path)
    assert hashlib.sha256(storage.get_bytes(version.onnx_path)).hexdigest() == version.onnx_digest
    assert hashlib.sha256(storage.get_bytes(version.text_path)).hexdigest() == version.text_digest


def test_a_training_set_that_changed_on_disk_is_refused(tmp_path: Path) -> None:
    training_set = make_loop(tmp_path).training_set
    storage.put_bytes(training_set.path, b"other rows")
    with pytest.raises(snapshots.DamagedFile, match="restore it"):
        train_version(training_set)


def test_one_class_alone_is_refused_and_leaves_no_version(tmp_path: Path) -> None:
    take_in(tmp_path, [http(1, "/"), hit(1)])
    detector = make_detector(SPEC)
    rows = weak_rows(detector)
    training_set = receive_training_set(detector, write_training_set(rows), rows=len(rows), counts={})
    with pytest.raises(TrainingImpossible, match="negative"):
        train_version(training_set)
    assert not detector.versions.exists()


def test_the_same_bytes_are_one_training_set(tmp_path: Path) -> None:
    detector = make_detector(SPEC)
    first = receive_training_set(detector, b"rows", rows=1, counts={})
    assert receive_training_set(detector, b"rows", rows=1, counts={}) == first
    assert receive_training_set(detector, b"more rows", rows=2, counts={}).number == 2


def test_a_stage_changes_only_from_where_it_was_read(tmp_path: Path) -> None:
    version = make_loop(tmp_path)
    stale = type(version).objects.get(pk=version.pk)
    versions.change_stage(version, Stage.ACTIVE, reason="approved")
    with pytest.raises(versions.WrongStage):
        versions.change_stage(stale, Stage.RETIRED, reason="too late")
    assert StageChange.objects.filter(version=version).count() == 2
