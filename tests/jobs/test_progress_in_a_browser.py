"""Progress moves by itself, and the hand stays on the button meanwhile."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from jobs.models import Job, State
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def running():
    return factories.make_job(
        state=State.RUNNING, done=1, total=10, started_at=timezone.now() - timedelta(seconds=5), worker="w"
    )


def test_progress_moves_while_the_focus_stays_and_cancel_is_one_key(page, sign_in, accessible, running):
    tab = sign_in(factories.make_user(Role.ENGINEER))
    tab.goto(reverse("jobs:job", args=[running.pk]))
    accessible(tab)
    tab.locator("#cancel-job").focus()
    Job.objects.update(done=7)
    tab.get_by_text("7 of 10").wait_for()
    assert tab.evaluate("document.activeElement.id") == "cancel-job"
    tab.keyboard.press("Enter")
    tab.get_by_text("cancelling").wait_for()
    assert Job.objects.get().cancel_asked_at
    Job.objects.update(state=State.CANCELLED, finished_at=timezone.now())
    tab.locator(".badge", has_text="cancelled").wait_for()


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=pytest.mark.slow), "dark"])
def test_the_list_is_accessible_and_follows(page, sign_in, accessible, running, scheme):
    page.emulate_media(color_scheme=scheme)
    tab = sign_in(factories.make_user(Role.ADMINISTRATOR))
    tab.goto(reverse("jobs:jobs"))
    accessible(tab)
    Job.objects.update(done=9)
    tab.get_by_text("9 of 10").wait_for()
