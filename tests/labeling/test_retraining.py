"""The night decides which detectors are trained; one job goes from answers to a gated candidate that is scored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from detection.retraining import RetrainPolicy, Schedule, decide
from jobs.models import Job, State
from jobs.services import jobs
from labeling import tasks
from labeling.models import Answer, Label, Source
from labeling.services import retraining
from models_registry.models import Detector, GateReport, Snapshot, StageChange, TrainingSet, Version
from models_registry.services import candidates
from tests import factories
from tests.models_registry import loop

NOW = datetime(2026, 3, 10, 2, 0, tzinfo=UTC)
POLICY = RetrainPolicy(labels=50, days=7)


@pytest.mark.parametrize(
    ("labels", "days", "train", "told"),
    [
        (0, None, True, "never trained"),
        (49, 1, False, "49 new labels since the last training set, 50 are wanted"),
        (50, 1, True, "50 new labels"),
        (0, 6.4, False, "6.4 days ago, 7 are allowed"),
        (0, 6.99, True, "7.0 days ago"),
    ],
)
def test_the_policy(labels, days, train, told):
    decision = decide(labels, None if days is None else timedelta(days=days), POLICY)
    assert decision.train is train
    assert told in decision.reason


# the night


def answer(version, number=1, **fields):
    """Give a version's detector some answers of experts."""
    queue = version.detector.queues.first() or factories.make_queue(detector=version.detector)
    for _ in range(number):
        item = factories.make_item(queue=queue, version=version)
        given = {"expert": factories.make_user(), "answer": Answer.POSITIVE, "subject_kind": "session"} | fields
        Label.objects.create(item=item, detector=version.detector, subject_key=item.subject_key, **given)


@pytest.fixture
def trained_yesterday(db):
    version = factories.make_version(
        training_set=(kept := factories.make_training_set(frozen_at=NOW - timedelta(days=1))),
        detector=kept.detector,
        created_at=NOW - timedelta(days=1),
    )
    factories.make_segment()
    Detector.objects.update(created_at=NOW - timedelta(days=2))
    with time_machine.travel(NOW, tick=False):
        yield version


def test_too_few_labels_are_skipped_with_the_reason_recorded(trained_yesterday):
    answer(trained_yesterday, 3)
    assert tasks.retrain_due() == 0
    job = Job.objects.get()
    assert job.state == State.SKIPPED
    assert job.result["reason"].startswith("3 new labels since the last training set, 50 are wanted")
    assert job.result["new_labels"] == 3
    assert job.result["policy"] == POLICY.to_dict()


def test_enough_labels_start_one_run(trained_yesterday):
    Detector.objects.update(retrain_labels=4)
    answer(trained_yesterday, 4)
    assert tasks.retrain_due() == 1
    tasks.retrain_due()
    job = Job.objects.get()
    assert (job.state, job.queue) == (State.WAITING, "training")
    assert job.arguments["reason"] == "night: 4 new labels since the last training set"


def test_a_week_is_enough_without_any_label(trained_yesterday):
    with time_machine.travel(NOW + timedelta(days=6), tick=False):
        assert tasks.retrain_due() == 1
    assert Job.objects.get().arguments["reason"] == "night: the last training was 7.0 days ago"


@pytest.mark.parametrize(
    ("hour", "weekday", "now", "due"),
    [
        (2, None, "2026-03-10 02:00", "2026-03-10 02:00"),
        (2, None, "2026-03-10 01:59", "2026-03-09 02:00"),
        (23, None, "2026-03-01 12:00", "2026-02-28 23:00"),
        (2, 0, "2026-03-10 02:00", "2026-03-09 02:00"),  # a Tuesday: the last Monday was yesterday
        (2, 1, "2026-03-10 01:00", "2026-03-03 02:00"),
        (2, 1, "2026-03-10 02:00", "2026-03-10 02:00"),
    ],
)
def test_when_a_detector_was_last_due(hour, weekday, now, due):
    told = Schedule(hour, weekday).last_due(datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert told == datetime.fromisoformat(due).replace(tzinfo=UTC)


def test_a_new_detector_waits_for_its_hour(trained_yesterday):
    Detector.objects.update(created_at=NOW)
    tasks.retrain_due()
    assert not Job.objects.exists()
    tasks.retrain_due(early=True)
    assert Job.objects.count() == 1


def test_each_detector_is_considered_at_its_own_hour(trained_yesterday):
    Detector.objects.update(retrain_hour=5)
    tasks.retrain_due()  # the hour of yesterday was missed
    for hours, decisions in ((1, 1), (2, 1), (3, 2), (4, 2), (26, 2), (27, 3)):
        with time_machine.travel(NOW + timedelta(hours=hours), tick=False):
            tasks.retrain_due()
            assert Job.objects.count() == decisions, hours


def test_a_detector_may_be_considered_once_a_week(trained_yesterday):
    Detector.objects.update(retrain_weekday="friday", retrain_days=99)
    for day, decisions in ((0, 0), (2, 0), (3, 1), (4, 1), (9, 1), (10, 2)):  # NOW is a Tuesday
        with time_machine.travel(NOW + timedelta(days=day), tick=False):
            tasks.retrain_due()
            assert Job.objects.count() == decisions, day


def test_only_labels_that_may_gate_count(trained_yesterday):
    detector = trained_yesterday.detector
    answer(trained_yesterday)
    answer(trained_yesterday, answer=Answer.UNDECIDED)
    answer(trained_yesterday, source=Source.RULE)
    answer(trained_yesterday, created_at=NOW - timedelta(days=2))  # before the training set
    assert retraining.new_gate_worthy(detector) == 1


def test_without_traffic_there_is_nothing_to_train_on(db):
    factories.make_detector(created_at=NOW)
    assert tasks.retrain_due() == 0
    assert Job.objects.get().result["reason"] == "no traffic is stored"


# the run


@pytest.fixture
def first(db, tmp_path):
    return loop.make_loop(tmp_path)


def test_one_job_trains_gates_and_has_the_candidate_scored(first, train_anew, run_jobs):
    job = retraining.start(first.detector, reason="complaint 7 is confirmed")
    assert run_jobs() == 2
    job.refresh_from_db()
    made = Version.objects.latest("id")
    assert job.state == State.DONE, job.error
    assert job.result["version"] == str(made) == "http-attacks:2"
    assert "sentence" in job.result["gate"]
    assert job.done == job.total > 2
    assert StageChange.objects.latest("id").reason == "complaint 7 is confirmed"
    assert GateReport.objects.filter(version=made).exists()
    assert candidates.coverage(made).complete


def test_two_retrains_at_once_are_one_run(first, run_jobs):
    assert retraining.start(first.detector, reason="one") == retraining.start(first.detector, reason="two")
    run_jobs()
    assert Version.objects.count() == 2


@pytest.mark.parametrize("died_after", ["freezing", "training"])
def test_a_run_that_takes_over_goes_on_where_the_dead_one_stopped(first, run_jobs, monkeypatch, died_after):
    job = retraining.start(first.detector, reason="test")
    step = "_trained" if died_after == "freezing" else "_gated"

    class Died(BaseException):
        """A kill -9, as far as the row can tell."""

    def die(*args):
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(retraining, step, die)
        with pytest.raises(Died):
            jobs.run(job.pk, retraining.retrain)
    counts = (Snapshot.objects.count(), TrainingSet.objects.count(), Version.objects.count())
    assert counts[2] == (1 if died_after == "freezing" else 2)
    with time_machine.travel(timezone.now() + timedelta(minutes=2)):
        assert jobs.sweep() == 1
        run_jobs()
    job.refresh_from_db()
    assert job.state == State.DONE, job.error
    assert job.attempts == 2
    assert Version.objects.count() == 2
    assert (Snapshot.objects.count(), TrainingSet.objects.count()) == counts[:2]


def test_a_version_of_a_worker_that_lost_its_lease_does_not_stay(first, train_anew):
    job = retraining.start(first.detector, reason="test")

    def work(lease):
        Job.objects.update(worker="somebody else")
        return retraining.retrain(lease)

    jobs.run(job.pk, work)
    assert Version.objects.count() == 1
    assert Job.objects.get().state == State.RUNNING  # somebody else's


def test_cancelling_ends_the_training_between_two_models(first, train_anew, engineer, run_jobs, monkeypatch):
    job = retraining.start(first.detector, reason="test")
    seen = []
    progress = jobs.Lease.progress

    def cancel_after_one(lease, done, total):
        seen.append((done, total))
        jobs.cancel(job, engineer)
        progress(lease, done, total)

    monkeypatch.setattr(jobs.Lease, "progress", cancel_after_one)
    run_jobs()
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert len(seen) == 1
    assert Version.objects.count() == 1


def test_what_cannot_be_trained_fails_with_the_reason(db, run_jobs):
    job = retraining.start(factories.make_detector(), reason="test")
    run_jobs()
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert "positive" in job.error
