"""The page of jobs: what runs, what has ended, what the clock did."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs.models import Job, Part, State
from jobs.services import jobs, ticks
from tests import factories

pytestmark = pytest.mark.django_db


def test_an_empty_page_says_what_would_fill_it(engineer_client):
    page = engineer_client.get(reverse("jobs:jobs")).content.decode()
    assert "Nothing runs." in page
    assert "celery -A config beat" in page


def test_live_ended_and_skipped_jobs_and_the_clock(engineer_client):
    factories.make_job(
        run_key="retrain ktalk", state=State.RUNNING, done=1, total=4, started_at=timezone.now() - timedelta(seconds=60)
    )
    jobs.skip("t", "retrain telegram", "3 new labels, 50 are wanted", kind="retrain")
    ticks.run("labeling.route_scores", lambda: 1)
    page = engineer_client.get(reverse("jobs:jobs")).content.decode()
    assert "1 of 4" in page
    assert "3 new labels, 50 are wanted" in page
    assert "labeling.route_scores" in page


def test_the_fragment_is_the_one_the_page_includes(engineer_client):
    factories.make_job(run_key="retrain ktalk")
    page = engineer_client.get(reverse("jobs:jobs")).content.decode()
    fragment = engineer_client.get(reverse("jobs:live")).content.decode()
    assert 'id="live-jobs"' in fragment
    assert "retrain ktalk" in fragment
    assert "<html" not in fragment
    assert "retrain ktalk" in page


def test_a_live_job_asks_again_and_an_ended_one_does_not(engineer_client):
    job = factories.make_job(state=State.RUNNING, started_at=timezone.now())
    url = reverse("jobs:state", args=[job.pk])
    assert 'hx-trigger="every' in engineer_client.get(url).content.decode()
    Job.objects.update(state=State.DONE, finished_at=timezone.now(), result={"version": "ktalk:2"})
    page = engineer_client.get(url).content.decode()
    assert "hx-trigger" not in page
    assert "ktalk:2" in page


def test_parts_that_failed_are_named(engineer_client):
    job = factories.make_job(state=State.FAILED, error="1 of 2 parts failed")
    Part.objects.create(job=job, key="7", state=State.FAILED, error="FileNotFoundError: <b>gone</b>")
    page = engineer_client.get(reverse("jobs:job", args=[job.pk])).content.decode()
    assert "FileNotFoundError: &lt;b&gt;gone" in page


def test_ended_jobs_are_paged_by_key(engineer_client, django_assert_max_num_queries):
    for number in range(60):
        factories.make_job(run_key=f"job {number:02d}", state=State.DONE)
    with django_assert_max_num_queries(12):
        page = engineer_client.get(reverse("jobs:jobs")).content.decode()
    assert "job 59" in page
    assert "job 09" not in page
    before = Job.objects.get(run_key="job 10").pk
    assert f"?before={before}" in page
    page = engineer_client.get(reverse("jobs:jobs"), {"before": before}).content.decode()
    assert "job 09" in page
    assert "job 10" not in page


def test_nonsense_in_the_key_is_the_first_page(engineer_client):
    assert engineer_client.get(reverse("jobs:jobs"), {"before": "x"}).status_code == 200
