"""The log of a job: what it said, step by step, on its page, and never more than a page can show."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs.models import Line, State
from jobs.services import jobs, lines
from jobs.templatetags.jobs import duration
from tests import factories

pytestmark = pytest.mark.django_db


def said(job):
    return list(job.lines.values_list("text", flat=True))


def page_of(client, job):
    return client.get(reverse("jobs:job", args=[job.pk])).text


def test_a_job_tells_its_attempts_its_steps_and_its_end(engineer_client):
    job = factories.make_job()

    def work(lease):
        lease.say("snapshot 3: 120 rows")
        return {}

    jobs.run(job.pk, work)
    first, *rest = said(job)
    assert first.startswith("attempt 1, by ")
    assert rest == ["snapshot 3: 120 rows", "done"]
    assert "snapshot 3: 120 rows" in page_of(engineer_client, job)


def test_a_failure_is_told_with_its_error():
    job = factories.make_job()

    def work(lease):
        raise ValueError("no rows to learn from")

    jobs.run(job.pk, work)
    assert said(job)[-1] == "failed: ValueError: no rows to learn from"


def test_a_dead_worker_and_the_next_attempt_are_told():
    job = factories.make_job(state=State.RUNNING, lease_until=timezone.now(), attempts=1, worker="a:1:x")
    jobs.sweep()
    jobs.run(job.pk, lambda lease: {})
    assert said(job)[0] == "its worker died; waits for another"
    assert said(job)[1].startswith("attempt 2")


def test_who_cancelled_is_told(engineer):
    job = factories.make_job(state=State.RUNNING)
    jobs.cancel(job, engineer)
    assert said(job) == [f"{engineer} asked it to end"]


def test_a_talkative_job_is_cut_and_says_so():
    job = factories.make_job()
    Line.objects.bulk_create(Line(job=job, text=f"step {number}") for number in range(lines.MOST))
    for number in range(3):
        lines.say(job.pk, f"more {number}")
    assert said(job)[-1] == lines.LAST
    assert len(said(job)) == lines.MOST + 1


def test_a_long_line_with_nul_is_kept_as_text():
    job = factories.make_job()
    lines.say(job.pk, "\x00" + "x" * 900)
    assert said(job) == ["\u2400" + "x" * 499]


def test_lines_are_escaped(engineer_client):
    job = factories.make_job()
    lines.say(job.pk, "<script>alert(1)</script>")
    assert "&lt;script&gt;alert" in page_of(engineer_client, job)


def test_the_result_links_to_what_was_made(engineer_client):
    gate = factories.make_gate_report()
    links = [
        jobs.link("may leave", "models_registry:gate", gate.pk),
        jobs.link("gone", "models_registry:no-such-page", 1),
        jobs.link("not for an engineer", "triage:file-complaint"),
    ]
    result = {"gate": {"passed": True}, "files": [1, 2], "links": links}
    page = page_of(engineer_client, factories.make_job(state=State.DONE, result=result))
    assert reverse("models_registry:gate", args=[gate.pk]) in page
    assert "gate: passed" in page
    assert "gone" not in page
    assert "not for an engineer" not in page


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "1 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (7500, "2 h 5 min")]
)
def test_durations(seconds, told):
    assert duration(seconds) == told
