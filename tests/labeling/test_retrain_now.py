"""An engineer asks for a training by hand: the job of the night, once at a time."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.roles import Role
from jobs.models import Job, State
from labeling.services import retraining
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def detector():
    return factories.make_detector(name="ktalk")


def press(client, detector):
    return client.post(reverse("labeling:retrain", args=[detector.name]))


def test_the_button_starts_the_job_of_the_night_and_leads_to_it(engineer_client, engineer, detector):
    response = press(engineer_client, detector)
    job = Job.objects.get()
    assert (job.task, job.run_key, job.queue) == (retraining.TASK, "retrain ktalk", "training")
    assert job.created_by == engineer
    assert str(engineer) in job.arguments["reason"]
    assert response.headers["Location"] == reverse("jobs:job", args=[job.pk])


@pytest.mark.parametrize("state", [State.WAITING, State.RUNNING])
def test_two_presses_are_one_run(engineer_client, detector, state):
    first = press(engineer_client, detector)
    Job.objects.update(state=state)
    second = press(engineer_client, detector)
    assert Job.objects.count() == 1
    assert second.headers["Location"] == first.headers["Location"]
    assert "being trained already" in engineer_client.get(second.headers["Location"]).text


def test_what_the_night_started_is_meant_too(engineer_client, detector):
    night = retraining.start(detector, reason="night")
    assert press(engineer_client, detector).headers["Location"] == reverse("jobs:job", args=[night.pk])


def test_after_an_end_another_one_starts(engineer_client, detector):
    press(engineer_client, detector)
    Job.objects.update(state=State.DONE)
    press(engineer_client, detector)
    assert Job.objects.count() == 2


def test_a_detector_that_is_not_there_is_not_found(engineer_client, db):
    assert engineer_client.post(reverse("labeling:retrain", args=["none"])).status_code == 404


def test_only_the_engineer_sees_the_button(client, detector):
    url = reverse("labeling:retrain-state", args=[detector.name])
    for role in (Role.ENGINEER, Role.EXPERT, Role.AUDITOR):
        client.force_login(factories.make_user(role))
        assert ("Retrain now" in client.get(url).text) is (role is Role.ENGINEER)


def test_while_it_runs_the_page_leads_to_the_job_instead(engineer_client, detector):
    job = retraining.start(detector, reason="night")
    shown = engineer_client.get(reverse("labeling:retrain-state", args=[detector.name])).text
    assert reverse("jobs:job", args=[job.pk]) in shown
    assert "Retrain now" not in shown


@pytest.mark.django_db(transaction=True)
def test_two_keys_and_the_job_is_on_screen(page, sign_in, accessible, detector):
    tab = sign_in(factories.make_user(Role.ENGINEER))
    tab.goto(reverse("models_registry:detector", args=[detector.name]))
    tab.get_by_role("button", name="Retrain now").wait_for()
    tab.keyboard.press("r")
    tab.get_by_role("dialog").wait_for()
    accessible(tab)
    tab.keyboard.press("Escape")
    assert Job.objects.count() == 0
    tab.keyboard.press("r")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/jobs/*/")
    assert Job.objects.get().run_key == "retrain ktalk"
