"""A candidate over stored segments: every segment is a part, what fails makes the report incomplete, never smaller."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from jobs.models import Job, State
from models_registry import tasks
from models_registry.models import RuleMappingVersion, ScoreFailure, ScoreFile, Stage, Version
from models_registry.services import candidates, scoring
from models_registry.services.detectors import rules_in_force
from tests.models_registry.loop import http, make_loop, take_in
from traffic import storage
from traffic.models import Segment

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(tmp_path) -> Version:
    """A candidate, and four stored segments: 240 + 3 x 20 sessions."""
    found = make_loop(tmp_path)
    for number in range(3):
        take_in(tmp_path, [http(5_000 + 100 * number + i, f"/{number}/{i}") for i in range(20)], f"{number}.json")
    Version.objects.update(stage=Stage.CANDIDATE)
    found.refresh_from_db()
    return found


def test_a_new_candidate_is_scored_over_everything_once(version, run_jobs):
    assert tasks.score_candidates() == 1
    assert tasks.score_candidates() == 0
    assert run_jobs() == 1
    job = Job.objects.get()
    assert (job.state, job.done, job.total, job.queue) == (State.DONE, 300, 300, "training")
    assert ScoreFile.objects.filter(version=version).count() == 4
    coverage = candidates.coverage(version)
    assert (coverage.sessions, coverage.sessions_scored, coverage.complete) == (300, 300, True)
    assert tasks.score_candidates() == 0


def test_ticks_leave_a_candidate_to_its_job_and_take_what_comes_later(version, run_jobs, tmp_path):
    assert tasks.score_segments() == 0
    candidates.start(version)
    assert tasks.score_segments() == 0
    run_jobs()
    take_in(tmp_path, [http(9_000, "/later")], "later.json")
    assert tasks.score_segments() == 1
    assert candidates.coverage(version).complete


HARMS = ["missing file", "missing row", "torn file", "other bytes", "fewer sessions"]


def harm_file(segment: Segment, harm: str) -> None:
    """Damage the sessions of a segment, so that its row still says what was sealed."""
    data = storage.get_bytes(segment.sessions_path)
    if harm == "missing file":
        storage.delete(segment.sessions_path)
    elif harm == "torn file":
        storage.put_bytes(segment.sessions_path, data[: len(data) // 2])
    elif harm == "other bytes":
        middle = data.index(b"/1/1") if b"/1/1" in data else 200
        storage.put_bytes(segment.sessions_path, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    else:  # a whole file that can be read, and lost rows on the way
        table = storage.get_table(segment.sessions_path)
        storage.put_table(segment.sessions_path, table.slice(0, len(table) - 5))


@pytest.mark.parametrize("harm", HARMS)
def test_a_segment_that_cannot_be_scored_makes_the_report_incomplete(version, run_jobs, harm):
    job = candidates.start(version)
    damaged = Segment.objects.order_by("id")[1]
    if harm == "missing row":
        Segment.objects.filter(pk=damaged.pk).update(sealed_at=None)
    else:
        harm_file(damaged, harm)
    run_jobs()
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert (job.done, job.total) == (280, 300)
    assert "1 of 4 parts failed" in job.error
    assert ScoreFile.objects.filter(version=version).count() == 3
    coverage = candidates.coverage(version)
    assert (coverage.segments, coverage.segments_scored) == (4, 3)
    assert (coverage.sessions, coverage.sessions_scored) == (300, 280)
    assert not coverage.complete
    assert [failure.segment for failure in coverage.failures] == ([] if harm == "missing row" else [damaged])


@pytest.mark.parametrize("harm", ["missing file", "torn file", "fewer sessions"])
def test_the_page_says_expected_and_scored(version, run_jobs, engineer_client, harm):
    candidates.start(version)
    harm_file(Segment.objects.order_by("id")[1], harm)
    run_jobs()
    url = reverse("models_registry:version", args=[version.detector.name, version.number])
    page = engineer_client.get(url).content.decode()
    assert "280 of 300 sessions" in page
    assert "incomplete" in page


def test_a_report_with_fewer_sessions_is_incomplete_even_if_every_segment_has_a_file(version, run_jobs):
    candidates.start(version)
    run_jobs()
    ScoreFile.objects.filter(segment=Segment.objects.order_by("id")[1]).update(rows=15)
    coverage = candidates.coverage(version)
    assert (coverage.segments, coverage.segments_scored) == (4, 4)
    assert (coverage.sessions, coverage.sessions_scored) == (300, 295)
    assert not coverage.complete


def test_two_at_once_under_two_mappings_leave_the_file_of_the_one_that_won(version, engineer):
    """The rules of a detector change while two workers score the same segment."""
    segment = Segment.objects.order_by("id")[0]
    before = rules_in_force(version.detector)
    mapping = RuleMappingVersion.objects.create(
        detector=version.detector,
        number=before.version.number + 1,
        mapping=before.version.mapping,
        digest="d" * 64,
        made_by=engineer,
    )
    after = replace(before, version=mapping)
    won = scoring.score_segment(version, segment, before)
    kept = storage.get_bytes(won.path)
    assert scoring.score_segment(version, segment, after) is None
    assert storage.get_bytes(won.path) == kept
    assert hashlib.sha256(kept).hexdigest() == won.digest
    assert not storage.exists(won.path.replace(f"-{before.version.pk}.", f"-{mapping.pk}."))
    assert scoring.score_segment(version, segment, before) is None
    assert storage.exists(won.path)


def test_a_segment_that_fails_is_tried_again_later_and_holds_up_nobody(version, run_jobs):
    Version.objects.update(stage=Stage.SILENT)
    damaged = Segment.objects.order_by("id")[0]
    kept = storage.get_bytes(damaged.sessions_path)
    storage.delete(damaged.sessions_path)
    assert scoring.score_waiting() == 3
    failure = ScoreFailure.objects.get()
    assert failure.attempts == 1
    assert scoring.score_waiting() == 0
    failure.refresh_from_db()
    assert failure.attempts == 1  # not before its time
    storage.put_bytes(damaged.sessions_path, kept)
    with time_machine.travel(timezone.now() + timedelta(seconds=11)):
        assert scoring.score_waiting() == 1
    assert not ScoreFailure.objects.exists()
    assert candidates.coverage(version).complete
