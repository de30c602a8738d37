"""Passing an item on, putting it back, keeping it."""

from __future__ import annotations

import pytest
from django.urls import reverse

from labeling.models import Item, Skip
from labeling.services import claims
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def test_skip_brings_the_next_item(queue, held, expert, expert_client):
    following = make_item(queue)
    response = expert_client.post(reverse("labeling:skip-item", args=[held.pk]), headers=HTMX)
    assert reverse("labeling:submit-label", args=[following.pk]) in response.text
    assert Skip.objects.get().item == held
    assert Item.objects.get(pk=held.pk).holder is None


def test_skipping_what_somebody_else_holds_is_refused(held, expert, senior_client):
    response = senior_client.post(reverse("labeling:skip-item", args=[held.pk]), headers=HTMX)
    assert response.status_code == 409
    assert str(expert) in response.text
    assert not Skip.objects.exists()


def test_release_puts_the_item_back_and_leaves(queue, held, expert_client):
    response = expert_client.post(reverse("labeling:release-item", args=[held.pk]), headers=HTMX)
    assert response.headers["HX-Redirect"] == reverse("labeling:queue", args=[queue.slug])
    assert Item.objects.get().holder is None


def test_the_open_page_keeps_the_item(held, expert, expert_client):
    before = held.claimed_until
    response = expert_client.post(reverse("labeling:renew-claim", args=[held.pk]), headers=HTMX)
    assert "held until" in response.text
    assert Item.objects.get().claimed_until > before


def test_a_page_that_lost_its_item_is_told(held, expert, expert_client, senior):
    claims.release(held, expert)
    claims.claim(held, senior)
    response = expert_client.post(reverse("labeling:renew-claim", args=[held.pk]), headers=HTMX)
    assert response.status_code == 409
    assert "do not hold this item any more" in response.text


@pytest.mark.parametrize("action", ["skip-item", "release-item", "renew-claim"])
@pytest.mark.parametrize("role", ["support", "engineer", "administrator", "auditor"])
def test_others_have_nothing_to_hold(held, action, role, request):
    client = request.getfixturevalue(f"{role}_client")
    assert client.post(reverse(f"labeling:{action}", args=[held.pk])).status_code == 403
