"""Lists of queues and of items: narrow rows, bounded counts, pages by key."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from labeling.models import Item, ItemState
from labeling.services import queues
from labeling.services.filters import ItemFilter
from tests import factories
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db


def test_the_list_says_what_waits_and_since_when(queue, expert_client):
    make_item(queue, created_at=timezone.now() - timedelta(days=3))
    make_item(queue)
    make_item(queue, state=ItemState.CONFLICT)
    page = expert_client.get(reverse("labeling:queues")).text
    assert "unique candidates" in page
    assert queue.detector.name in page
    assert "3\xa0days" in page
    load = queues.load(queue)
    assert (load.waiting, load.conflicts) == (2, 1)


def test_no_queue_says_how_one_opens(db, auditor_client):
    assert "manage.py route" in auditor_client.get(reverse("labeling:queues")).text


@pytest.mark.parametrize("state", ItemState.values)
def test_pages_follow_each_other_by_key_and_miss_nothing(queue, monkeypatch, state):
    monkeypatch.setattr(queues, "PAGE", 3)
    now = timezone.now()
    for number in range(8):
        make_item(queue, state=state, priority=number % 3 / 7, settled_at=now - timedelta(minutes=number % 3))
    seen, after = [], ""
    while True:
        page = queues.page(queue, ItemFilter(state=state), after)
        seen += [item.pk for item in page.items]
        after = page.after
        if not after:
            break
    assert len(seen) == 8
    order = ("-settled_at", "-id") if state == ItemState.SETTLED else ("-priority", "id")
    assert seen == list(Item.objects.order_by(*order).values_list("pk", flat=True))


def test_settled_items_say_what_they_turned_out_to_be(queue, auditor_client):
    make_item(queue, state=ItemState.SETTLED, outcome="positive", settled_at=timezone.now())
    make_item(queue, state=ItemState.SETTLED, outcome="negative", settled_at=timezone.now(), not_admitted="one-expert")
    page = auditor_client.get(reverse("labeling:queue", args=[queue.slug]), {"state": "settled"}).text
    assert "unique detect" in page
    assert "false positive" in page
    assert "fewer than two experts agree" in page


@pytest.mark.parametrize("query", [{"state": "nonsense"}, {"after": "x"}, {"after": "1_2_3"}, {"after": "nan_1"}])
def test_nonsense_in_the_address_does_not_hurt(queue, query, expert_client):
    assert expert_client.get(reverse("labeling:queue", args=[queue.slug]), query).status_code == 200


def test_a_list_asks_the_database_little(queue, auditor_client, django_assert_max_num_queries):
    for _ in range(30):
        make_item(queue)
    with django_assert_max_num_queries(10):
        auditor_client.get(reverse("labeling:queue", args=[queue.slug]))


def test_an_unknown_queue_is_404(db, expert_client):
    assert expert_client.get(reverse("labeling:queue", args=["nothing"])).status_code == 404


@pytest.mark.parametrize("name", ["queues", "queue", "reference"])
def test_support_sees_no_internal_traffic(name, support_client):
    queue = factories.make_queue()
    args = {"queues": [], "queue": [queue.slug], "reference": [queue.detector.name]}[name]
    assert support_client.get(reverse(f"labeling:{name}", args=args)).status_code == 403
