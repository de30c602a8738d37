"""A senior takes an item from whoever holds it: on the record, and told to both."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from labeling.models import Item, ItemState
from labeling.services import claims
from labeling.services.labels import NotHolder, submit
from tests import factories
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def url(item):
    return reverse("labeling:take-over-item", args=[item.pk])


def test_a_senior_takes_over_and_it_is_recorded(held, expert, senior, senior_client):
    response = senior_client.post(url(held), headers=HTMX)
    assert response.status_code == 200
    assert f"You took this item over from {expert}" in response.text
    assert Item.objects.get().holder == senior
    entry = AuditEntry.objects.get(action="item.taken-over")
    assert (entry.actor, entry.subject, entry.details) == (senior, f"item {held.pk}", {"holder": str(expert)})


def test_the_former_holder_is_told_who_has_it(held, expert, senior, expert_client):
    claims.take_over(held, senior)
    page = expert_client.post(reverse("labeling:renew-claim", args=[held.pk]), headers=HTMX)
    assert page.status_code == 409
    assert f"do not hold this item any more: {senior} has it now" in page.text
    with pytest.raises(NotHolder, match=f"{senior} holds this item now"):
        submit(held, expert, "positive")


def test_nobodys_item_is_claimed_and_not_taken_over(item, senior_client):
    assert senior_client.post(url(item), headers=HTMX).status_code == 409
    assert not AuditEntry.objects.filter(action="item.taken-over").exists()


def test_a_senior_takes_nothing_over_that_is_not_his_to_answer(held, expert, senior, senior_client, answer):
    claims.release(held, expert)
    answer(held, senior, "positive")
    assert claims.claim(held, expert)
    assert senior_client.post(url(held), headers=HTMX).status_code == 403
    assert Item.objects.get().holder == expert


def test_only_a_senior_is_offered_it(held, senior_client, client):
    page = reverse("labeling:item", args=[held.pk])
    assert url(held) in senior_client.get(page).text
    client.force_login(factories.make_user())
    assert url(held) not in client.get(page).text


# nothing left


def test_who_finds_nothing_is_told_what_others_hold_and_until_when(queue, held, client):
    client.force_login(factories.make_user())
    page = client.get(reverse("labeling:work", args=[queue.slug])).text
    assert f"1 item is held by a colleague until {held.claimed_until:%H:%M} UTC" in page
    claims.release(held, held.claimed_by)
    make_item(queue, state=ItemState.SETTLED)
    assert "held by a colleague" not in client.get(reverse("labeling:work", args=[queue.slug])).text
