"""A candidate over stored segments: every segment is a part, what fails makes the report incomplete, never smaller."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from jobs.models import Job, State
from models_registry import tasks
from models_registry.models import ScoreFailure, ScoreFile, Stage, Version
from models_registry.services import candidates, scoring
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


@pytest.mark.parametrize("harm", ["missing file", "missing row"])
def test_a_segment_that_cannot_be_scored_makes_the_report_incomplete(version, run_jobs, harm):
    job = candidates.start(version)
    damaged = Segment.objects.order_by("id")[1]
    if harm == "missing file":
        storage.delete(damaged.sessions_path)
    else:
        Segment.objects.filter(pk=damaged.pk).update(sealed_at=None)
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
    assert [failure.segment for failure in coverage.failures] == ([damaged] if harm == "missing file" else [])


def test_the_page_says_expected_and_scored(version, run_jobs, engineer_client):
    candidates.start(version)
    storage.delete(Segment.objects.order_by("id")[1].sessions_path)
    run_jobs()
    url = reverse("models_registry:version", args=[version.detector.name, version.number])
    page = engineer_client.get(url).content.decode()
    assert "280 of 300 sessions" in page
    assert "incomplete" in page


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
