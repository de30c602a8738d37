"""Putting an item off until a time, and having it back sooner."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from labeling.models import Item, Skip
from labeling.services import claims, postponed
from tests import factories
from tests.factories import make_session_item as make_item

HTMX = {"HX-Request": "true"}
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("choice", "now", "comes_back"),
    [
        ("1h", datetime(2026, 3, 1, 23, 30, tzinfo=UTC), datetime(2026, 3, 2, 0, 30, tzinfo=UTC)),
        ("tomorrow", datetime(2026, 3, 1, 23, 30, tzinfo=UTC), datetime(2026, 3, 2, 9, 0, tzinfo=UTC)),
        # half past midnight in Berlin: tomorrow is another day than in UTC
        ("tomorrow", datetime(2026, 3, 2, 0, 30, tzinfo=BERLIN), datetime(2026, 3, 3, 8, 0, tzinfo=UTC)),
        # the night in which the clocks go forward
        ("tomorrow", datetime(2026, 3, 28, 12, 0, tzinfo=BERLIN), datetime(2026, 3, 29, 7, 0, tzinfo=UTC)),
        ("7d", datetime(2026, 3, 1, 12, 0, tzinfo=UTC), datetime(2026, 3, 8, 12, 0, tzinfo=UTC)),
    ],
)
def test_the_morning_is_that_of_the_place(choice, now, comes_back):
    assert postponed.moment_of(choice, now) == comes_back


@pytest.mark.django_db
class TestPage:
    def test_it_goes_to_others_at_once_and_comes_back_in_time(self, queue, held, expert, senior, expert_client):
        following = make_item(queue)
        url = reverse("labeling:postpone-item", args=[held.pk])
        response = expert_client.post(url, {"until": "1h"}, headers=HTMX)
        assert reverse("labeling:submit-label", args=[following.pk]) in response.text
        claims.release(following, expert)
        Item.objects.filter(pk=following.pk).update(state="settled")
        assert claims.claim_next(queue, expert) is None
        assert claims.claim_next(queue, senior).pk == held.pk
        claims.release(held, senior)
        with time_machine.travel(timezone.now() + timedelta(minutes=61)):
            assert claims.claim_next(queue, expert).pk == held.pk

    def test_tomorrow_is_the_persons_own(self, held, expert, expert_client):
        expert.time_zone = "Asia/Tokyo"
        expert.save()
        with time_machine.travel(datetime(2026, 3, 1, 16, 0, tzinfo=UTC), tick=False):  # one in the morning of the 2nd
            claims.claim(held, expert)
            expert_client.post(reverse("labeling:postpone-item", args=[held.pk]), {"until": "tomorrow"}, headers=HTMX)
        assert Skip.objects.get().until == datetime(2026, 3, 3, 0, 0, tzinfo=UTC)

    def test_the_list_gives_back(self, held, expert, expert_client):
        expert_client.post(reverse("labeling:postpone-item", args=[held.pk]), {"until": "7d"}, headers=HTMX)
        assert held.title in expert_client.get(reverse("labeling:postponed")).text
        response = expert_client.post(reverse("labeling:take-back-item", args=[held.pk]))
        assert response.url == reverse("labeling:item", args=[held.pk])
        assert Item.objects.get().holder == expert
        assert held.title not in expert_client.get(reverse("labeling:postponed")).text

    def test_nobody_takes_from_another(self, held, expert, senior, expert_client):
        expert_client.post(reverse("labeling:postpone-item", args=[held.pk]), {"until": "7d"}, headers=HTMX)
        claims.claim(held, senior)
        expert_client.post(reverse("labeling:take-back-item", args=[held.pk]))
        assert Item.objects.get().holder == senior

    def test_what_others_settled_is_not_listed(self, held, expert, senior, answer, expert_client):
        expert_client.post(reverse("labeling:postpone-item", args=[held.pk]), {"until": "7d"}, headers=HTMX)
        answer(held, senior, "positive")
        answer(held, factories.make_user(), "positive")
        assert not postponed.waiting(expert)

    def test_another_time_is_refused_and_so_is_somebody_who_does_not_hold_it(self, held, expert_client, senior_client):
        url = reverse("labeling:postpone-item", args=[held.pk])
        assert expert_client.post(url, {"until": "1y"}, headers=HTMX).status_code == 400
        assert senior_client.post(url, {"until": "1h"}, headers=HTMX).status_code == 409
        assert not Skip.objects.exists()
