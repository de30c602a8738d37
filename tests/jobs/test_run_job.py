"""A job under its lease: run key, heartbeat, progress, what a second run finds."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import transaction
from django.db.utils import OperationalError
from django.utils import timezone

from jobs.models import Job, State
from jobs.services import broker, jobs
from tests import factories

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def start(run_key: str = "retrain ktalk", **options) -> Job:
    return jobs.start("labeling.tasks.retrain", run_key, {"detector": 1}, kind="retrain", queue="training", **options)


@pytest.mark.django_db
def test_the_same_run_key_is_the_same_live_job():
    first = start()
    assert start() == first
    assert start("retrain telegram") != first
    jobs.run(first.pk, lambda lease: {})
    assert start() != first


@pytest.mark.django_db(transaction=True)
def test_a_job_is_sent_when_its_transaction_commits_and_only_then(monkeypatch):
    sent = []
    monkeypatch.setattr(broker, "send", lambda *message, **options: sent.append(message))
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        start()
        raise ZeroDivisionError
    assert sent == []
    with transaction.atomic():
        job = start()
        assert sent == []
    assert sent == [("labeling.tasks.retrain", job.pk, "training")]


@pytest.mark.django_db
def test_the_result_progress_and_time_are_kept():
    job = start()
    with time_machine.travel(NOON, tick=False) as clock:

        def work(lease):
            lease.progress(1, 4)
            clock.shift(timedelta(seconds=30))
            seen = Job.objects.get(pk=job.pk)
            assert (seen.state, seen.done, seen.total, seen.attempts) == ("running", 1, 4, 1)
            assert seen.expected_end(timezone.now()) == NOON + timedelta(seconds=120)
            return {"version": "ktalk:2"}

        jobs.run(job.pk, work)
    job.refresh_from_db()
    assert job.state == State.DONE
    assert job.result == {"version": "ktalk:2"}
    assert job.finished_at - job.started_at == timedelta(seconds=30)
    assert job.done == job.total == 4
    assert job.lease_until is None


@pytest.mark.django_db
def test_a_held_job_and_an_ended_one_are_left_alone():
    job = start()
    assert jobs.take(job.pk)
    jobs.run(job.pk, lambda lease: pytest.fail("somebody holds it"))
    Job.objects.update(state=State.DONE)
    jobs.run(job.pk, lambda lease: pytest.fail("it has ended"))


@pytest.mark.django_db
def test_an_expired_lease_is_taken_over_and_the_first_holder_cannot_write():
    job = start()
    with time_machine.travel(NOON, tick=False) as clock:
        first = jobs.take(job.pk)
        clock.shift(timedelta(seconds=59))
        assert jobs.take(job.pk) is None
        clock.shift(timedelta(seconds=2))
        second = jobs.take(job.pk)
        for write in (lambda: first.progress(1, 2), lambda: first.keep(version=1)):
            with pytest.raises(jobs.LeaseLost):
                write()
        assert not first.renew()
        assert not first.finish(State.DONE)
        second.keep(version=2)
        assert second.finish(State.DONE)
    job.refresh_from_db()
    assert job.result == {"version": 2}
    assert job.attempts == 2


@pytest.mark.django_db
def test_what_was_kept_is_found_by_the_next_run_and_an_undone_effect_is_not():
    job = start()
    with time_machine.travel(NOON, tick=False) as clock:
        lease = jobs.take(job.pk)
        lease.keep(snapshot=3)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            lease.keep(version=4)
            raise ZeroDivisionError
        clock.shift(timedelta(minutes=2))
        assert jobs.take(job.pk).facts == {"snapshot": 3}


@pytest.mark.django_db
def test_an_error_is_told_and_ends_the_job():
    job = start()

    def work(lease):
        raise ValueError("one class is missing: \x00positive")

    jobs.run(job.pk, work)
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert job.error == "ValueError: one class is missing: positive"


@pytest.mark.django_db
def test_a_database_that_is_away_leaves_the_job_to_the_sweeper():
    job = start()

    def work(lease):
        raise OperationalError("server closed the connection")

    with pytest.raises(OperationalError):
        jobs.run(job.pk, work)
    job.refresh_from_db()
    assert job.state == State.RUNNING


@pytest.mark.django_db(transaction=True)
def test_the_heart_beats_through_one_long_step(settings):
    settings.JOB_LEASE_SECONDS = 0.6
    job = start()

    def work(lease):
        threading.Event().wait(1.5)  # no progress told: two and a half leases long
        assert Job.objects.dead(timezone.now()).count() == 0
        return {}

    jobs.run(job.pk, work)
    job.refresh_from_db()
    assert job.state == State.DONE


@pytest.mark.django_db
def test_work_decided_against_is_recorded_with_its_reason():
    job = jobs.skip("labeling.tasks.retrain", "retrain ktalk", "3 new labels, 50 are wanted", kind="retrain")
    assert job.state == State.SKIPPED
    assert job.result["reason"].startswith("3 new")
    assert start() != job  # it stands in nobody's way


@pytest.mark.django_db
def test_a_broker_that_is_away_loses_nothing(monkeypatch, caplog):
    class Away:
        def send_task(self, *args, **options):
            raise ConnectionRefusedError("no Redis")

    monkeypatch.undo()
    monkeypatch.setattr("jobs.services.broker.current_app", Away())
    broker.send("labeling.tasks.retrain", factories.make_job().pk, "training")
    assert Job.objects.get().state == State.WAITING
