"""The sweeper: what died is taken up, what no worker heard of is sent again, what kills workers is stopped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from jobs.models import Job, Part, State
from jobs.services import broker, jobs, parts
from tests import factories

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def sent(monkeypatch):
    messages = []
    monkeypatch.setattr(broker, "send", lambda *message, times: messages.append((*message, times)))
    return messages


@pytest.fixture
def clock():
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def test_a_dead_workers_job_is_sent_again(sent, clock):
    job = factories.make_job(sent_at=NOON)
    jobs.take(job.pk)
    assert jobs.sweep() == 0
    clock.shift(timedelta(seconds=61))
    assert jobs.sweep() == 1
    assert sent == [("jobs.none", job.pk, "training", 1)]
    assert jobs.sweep() == 0  # once
    assert jobs.take(job.pk)


def test_a_live_workers_job_is_not(sent, clock):
    lease = jobs.take(factories.make_job(sent_at=NOON).pk)
    for _ in range(10):
        clock.shift(timedelta(seconds=50))
        lease.renew()
        assert jobs.sweep() == 0


def test_a_message_that_was_lost_is_sent_again(sent, clock):
    job = factories.make_job(sent_at=NOON)
    clock.shift(timedelta(seconds=299))
    assert jobs.sweep() == 0
    clock.shift(timedelta(seconds=2))
    assert jobs.sweep() == 1
    assert jobs.sweep() == 0
    assert [message[1] for message in sent] == [job.pk]


def test_a_job_that_was_never_sent_is_sent(sent, clock):
    factories.make_job()
    assert jobs.sweep() == 1


def test_a_job_that_kills_its_workers_is_stopped(sent, clock):
    job = factories.make_job(sent_at=NOON)
    for _ in range(jobs.ATTEMPTS):
        assert jobs.take(job.pk)
        clock.shift(timedelta(seconds=61))
        jobs.sweep()
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert job.error == "Its worker died 3 times."
    assert len(sent) == jobs.ATTEMPTS - 1


def test_a_dead_job_that_was_to_be_cancelled_is(sent, clock, engineer):
    job = factories.make_job(sent_at=NOON)
    jobs.take(job.pk)
    jobs.cancel(job, engineer)
    clock.shift(timedelta(seconds=61))
    assert jobs.sweep() == 0
    assert Job.objects.get().state == State.CANCELLED


def test_parts_of_a_dead_worker_are_done_by_the_next(sent, clock):
    job = jobs.start("t", "k", kind="score", parts=[(str(number), 10) for number in range(6)])
    parts._join(job.pk)
    assert parts._take(job.pk, "died").key == "0"
    clock.shift(timedelta(seconds=61))
    assert jobs.sweep() == 1
    assert sent[-1][-1] == 4  # as many helpers as the setting allows
    done = []
    parts.run(job.pk, done.append)
    assert sorted(done) == [str(number) for number in range(6)]
    job.refresh_from_db()
    assert (job.state, job.done, job.total) == (State.DONE, 60, 60)


def test_a_part_that_kills_its_workers_fails_alone(clock):
    job = jobs.start("t", "k", kind="score", parts=[("poison", 10), ("good", 5)])
    for _ in range(jobs.ATTEMPTS):
        parts._join(job.pk)
        assert parts._take(job.pk, "died").key == "poison"
        clock.shift(timedelta(seconds=61))
    parts.run(job.pk, lambda key: None)
    job.refresh_from_db()
    assert (job.state, job.done, job.total) == (State.FAILED, 5, 15)
    assert "1 of 2 parts failed; poison: Its worker died 3 times." in job.error


def test_the_last_of_several_workers_closes_the_job(clock):
    job = jobs.start("t", "k", kind="score", parts=[("a", 1), ("b", 1)])

    def first(key):
        if key == "a":
            parts.run(job.pk, lambda other: None)  # a second worker does "b" and finds "a" held
            assert Job.objects.get().state == State.RUNNING

    parts.run(job.pk, first)
    assert Job.objects.get().state == State.DONE
    assert Job.objects.get().done == 2
    assert not Part.objects.exclude(state=State.DONE).exists()


def test_a_late_message_of_an_ended_job_does_nothing():
    job = jobs.start("t", "k", kind="score", parts=[("a", 1)])
    parts.run(job.pk, lambda key: None)
    ended = Job.objects.get()
    parts.run(job.pk, lambda key: pytest.fail("done already"))
    assert Job.objects.get().finished_at == ended.finished_at <= timezone.now()
