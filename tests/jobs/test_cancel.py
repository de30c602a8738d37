"""Cancelling: at once where a job waits, at its next step where it runs; written to the audit log."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from jobs.models import Job, State
from jobs.services import jobs, parts
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_waiting_job_ends_at_once(engineer_client, engineer):
    job = factories.make_job(run_key="retrain ktalk")
    response = engineer_client.post(reverse("jobs:cancel", args=[job.pk]))
    assert response.status_code == 200
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    entry = AuditEntry.objects.get(action="job.cancel")
    assert (entry.actor, entry.subject, entry.details) == (engineer, "retrain retrain ktalk", {"job": job.pk})
    jobs.run(job.pk, lambda lease: pytest.fail("cancelled"))


def test_a_running_job_ends_at_its_next_step(engineer):
    job = factories.make_job()
    steps = []

    def work(lease):
        for step in range(5):
            lease.progress(step, 5)
            steps.append(step)
            if step == 1:
                assert jobs.cancel(job, engineer)
        return {}

    jobs.run(job.pk, work)
    job.refresh_from_db()
    assert steps == [0, 1]
    assert job.state == State.CANCELLED


def test_a_job_of_parts_ends_after_the_part_at_hand(engineer):
    job = jobs.start("t", "k", kind="score", parts=[(str(number), 10) for number in range(4)])
    done = []

    def work(key):
        done.append(key)
        jobs.cancel(job, engineer)

    parts.run(job.pk, work)
    job.refresh_from_db()
    assert done == ["0"]
    assert (job.state, job.done, job.total) == (State.CANCELLED, 10, 40)


def test_an_ended_job_cannot_be_cancelled(engineer_client):
    job = factories.make_job(state=State.DONE)
    assert engineer_client.post(reverse("jobs:cancel", args=[job.pk])).status_code == 409
    assert not AuditEntry.objects.filter(action="job.cancel").exists()


def test_asking_twice_is_one_entry(engineer):
    job = factories.make_job(state=State.RUNNING)
    assert jobs.cancel(job, engineer)
    assert not jobs.cancel(job, engineer)
    assert AuditEntry.objects.filter(action="job.cancel").count() == 1


def test_experts_watch_and_do_not_cancel(expert_client):
    job = factories.make_job(state=State.RUNNING)
    assert expert_client.post(reverse("jobs:cancel", args=[job.pk])).status_code == 403
    assert b"Cancel" not in expert_client.get(reverse("jobs:job", args=[job.pk])).content
    assert Job.objects.get().cancel_asked_at is None
