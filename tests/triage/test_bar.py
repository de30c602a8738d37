"""The bar on every page: what runs, and what the reader did today."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from jobs.models import Job, State
from labeling.services import claims, labels
from tests import factories
from triage.services import home

pytestmark = pytest.mark.django_db


def bar(client):
    return re.sub(r"\s+", " ", client.get(reverse("triage:top-bar")).text)


def test_it_counts_what_waits_and_runs(engineer_client):
    assert "no job runs" in bar(engineer_client)
    for _ in range(2):
        factories.make_job()
    factories.make_job(state=State.DONE)
    assert "2 jobs" in bar(engineer_client)
    assert reverse("jobs:jobs") in bar(engineer_client)


def test_a_single_job_is_named_with_its_progress_and_leads_to_its_page(engineer_client):
    job = factories.make_job(state=State.RUNNING, done=1, total=3)
    assert "retrain 33 %" in bar(engineer_client)
    assert reverse("jobs:job", args=[job.pk]) in bar(engineer_client)


def test_very_many_jobs_are_not_counted_to_the_end(engineer_client):
    Job.objects.bulk_create(Job(kind="x", run_key=f"x {number}", task="t", queue="q") for number in range(120))
    assert f"{home.JOBS_COUNTED}+ jobs" in bar(engineer_client)


def test_an_expert_sees_what_he_answered_today(expert_client, expert):
    item = factories.make_item()
    claims.claim(item, expert)
    labels.submit(item, expert, "positive")
    assert "1 answer today" in bar(expert_client)


@pytest.mark.parametrize("role", list(Role))
def test_it_shows_what_the_role_may_open(client, role):
    client.force_login(factories.make_user(role))
    page = client.get("/").text
    assert ("answers today" in page) is (role in (Role.EXPERT, Role.SENIOR))
    assert ('id="bar-jobs"' in page) is (role is not Role.SUPPORT)


def test_traffic_of_the_simulator_is_called_synthetic_on_every_page(expert_client):
    factories.make_sensor(name="core-1")
    assert "synthetic" not in bar(expert_client)
    factories.make_sensor(name="synthetic-core")
    assert ">synthetic<" in bar(expert_client)
    assert ">synthetic<" in expert_client.get(reverse("labeling:queues")).text


def test_fragments_without_the_bar_do_not_pay_for_it(engineer_client, monkeypatch):
    monkeypatch.setattr(home, "bar", lambda user: pytest.fail("was collected"))
    job = factories.make_job()
    assert engineer_client.get(reverse("jobs:state", args=[job.pk])).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_it_follows_by_itself_and_the_focus_stays(page, sign_in):
    tab = sign_in(factories.make_user(Role.ENGINEER))
    tab.goto("/customers/")
    tab.locator("#bar-jobs").focus()
    factories.make_job(state=State.RUNNING, started_at=timezone.now(), done=1, total=2)
    tab.evaluate("htmx.trigger('#bar', 'refresh')")
    tab.get_by_text("retrain 50 %").wait_for()
    assert tab.evaluate("document.activeElement.id") == "bar-jobs"
