"""Which items a person asks for: one value for pages, claims and links."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.http import QueryDict
from django.urls import reverse

from labeling.models import Item, ItemHost, ItemState
from labeling.services import claims, labels, queues
from labeling.services.filters import EVERYTHING, FilterRefused, ItemFilter, Order
from tests.factories import make_proof_item
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db
DAY = datetime(2026, 3, 1, tzinfo=UTC)


def asked(query: str) -> ItemFilter:
    return ItemFilter.of(QueryDict(query))


@pytest.fixture
def wanted(queue):
    """An item that differs from its neighbour in everything a filter can name."""
    make_item(queue=queue, decision={"score": 0.2}, priority=9)
    item = make_item(
        queue=queue,
        title="POST Shop.example/100%_sure",
        reason="missed",
        cell="missed",
        sensor="dmz",
        source="night",
        decision={"score": 0.9, "threshold": 0.7},
        first_at=DAY.replace(hour=3),
        last_at=DAY.replace(hour=4),
    )
    ItemHost.objects.create(item=item, host="10.7.7.7")
    return item


NARROW = [
    "text=shop.EXAMPLE",
    "text=100%25_",
    "host=10.7.7.7",
    "reason=missed",
    "cell=missed",
    "min=0.9",
    "min=0.5&max=0.95",
    "sensor=dmz",
    "source=night",
    "until=2026-03-01T04:30",
    "until=2026-03-01T10:00Z&since=2026-03-01T04:00",
    "text=shop&sensor=dmz&reason=missed&order=oldest",
]


@pytest.mark.parametrize("query", NARROW)
def test_page_and_claim_give_what_is_asked_for_and_nothing_else(queue, wanted, expert, query):
    found = asked(query)
    assert [item.pk for item in queues.page(queue, found).items] == [wanted.pk]
    assert claims.claim_next(queue, expert, found) == wanted
    labels.submit(wanted, expert, "positive")
    assert claims.claim_next(queue, expert, found) is None


@pytest.mark.parametrize("query", ["text=zzz", "text=100%25%25", "host=10.7.7.70", "min=0.91", "since=2027-01-01"])
def test_what_fits_nothing_gives_nothing(queue, wanted, expert, query):
    assert not queues.page(queue, asked(query)).items
    assert claims.claim_next(queue, expert, asked(query)) is None


@pytest.mark.parametrize("query", ["", "state=conflict", "state=any&order=newest", *NARROW])
def test_a_link_says_the_same_as_its_filter(query):
    assert asked(asked(query).query) == asked(query)


def test_the_whole_queue_needs_no_words():
    assert asked("") == EVERYTHING
    assert EVERYTHING.query == ""
    assert not asked("state=settled&order=newest").narrows
    assert asked("text=x").narrows


def test_a_day_lasts_until_its_end():
    assert (asked("since=2026-03-01").since, asked("until=2026-03-01").until) == (DAY, DAY.replace(day=2))


@pytest.mark.parametrize(
    "query",
    [
        "min=much",
        "max=1.1",
        "min=nan",
        "min=0.9&max=0.1",
        "since=yesterday",
        "since=2026-02-30",
        "since=2026-03-02&until=2026-03-01",
        "state=lost",
        "order=random",
        "reason=x",
        "cell=x",
        "text=" + "x" * 201,
        "text=%00",
    ],
)
def test_what_cannot_be_meant_selects_nothing(queue, wanted, expert_client, query):
    with pytest.raises(FilterRefused):
        asked(query)
    page = expert_client.get(reverse("labeling:queue", args=[queue.slug]) + f"?{query}")
    assert page.status_code == 200
    assert 'role="alert"' in page.text
    assert not page.context["page"].items
    assert expert_client.get(reverse("labeling:work", args=[queue.slug]) + f"?{query}").status_code == 400


@pytest.mark.parametrize("order", Order.values)
@pytest.mark.parametrize("state", ["open", "settled", "any"])
def test_pages_of_every_order_miss_nothing(queue, monkeypatch, order, state):
    monkeypatch.setattr(queues, "PAGE", 2)
    for number in range(6):
        settled = {"state": ItemState.SETTLED, "settled_at": DAY} if state == "settled" else {}
        make_item(queue=queue, sessions=number % 3, created_at=DAY.replace(hour=number // 2), **settled)
    found, after = [], ""
    while True:
        page = queues.page(queue, ItemFilter(state=state, order=order), after)
        found += [item.pk for item in page.items]
        if not (after := page.after):
            break
    assert sorted(found) == sorted(Item.objects.values_list("pk", flat=True))


def test_orders_are_what_they_say(queue, expert):
    new = make_item(queue=queue, sessions=1, created_at=DAY.replace(hour=9), priority=2)
    old = make_item(queue=queue, sessions=2, created_at=DAY.replace(hour=1), priority=1)
    large = make_item(queue=queue, sessions=9, created_at=DAY.replace(hour=5), priority=3)
    firsts = {"priority": large, "newest": new, "oldest": old, "largest": large}
    for order, first in firsts.items():
        assert queues.page(queue, ItemFilter(order=order)).items[0] == first
        assert claims.claim_next(queue, expert, ItemFilter(order=order)) == first
        claims.release(first, expert)


def test_nobody_finds_drawn_items_by_what_a_model_said(expert):
    item = make_proof_item()
    for query in ("min=0.5", "cell=unique", "reason=proof"):
        assert not queues.page(item.queue, asked(query)).items
        assert claims.claim_next(item.queue, expert, asked(query)) is None
    assert claims.claim_next(item.queue, expert, asked("sensor=core-1")) == item


def test_the_next_item_is_one_of_the_same_kind(queue, wanted, expert_client):
    same = make_item(queue=queue, sensor="dmz")
    page = expert_client.get(reverse("labeling:work", args=[queue.slug]), {"sensor": "dmz"})
    assert page.context["item"] == wanted
    address = reverse("labeling:submit-label", args=[wanted.pk]) + "?sensor=dmz"
    assert f'hx-post="{address}"' in page.text
    answered = expert_client.post(address, {"answer": "positive"}, headers={"HX-Request": "true"})
    assert answered.context["item"] == same
