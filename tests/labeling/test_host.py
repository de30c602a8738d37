"""The host of an item: what it did lately, and what else of it was put before experts."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.urls import reverse

from labeling.models import ItemHost
from tests import factories
from tests.factories import START, make_proof_item, make_row, make_session_item
from tests.labeling.conftest import eve_record
from traffic.services import hosts

pytestmark = pytest.mark.django_db
HOST = "10.1.4.1"


@pytest.fixture(autouse=True)
def fresh_cache():
    cache.clear()


def shown(client, item):
    return client.get(reverse("labeling:host", args=[item.pk])).text


def test_sessions_of_the_day_and_before_are_counted_from_the_segments(make_segment, queue, expert_client):
    earlier = [eve_record(number, timestamp="2026-02-27T10:00:00.000000+0000") for number in (0, 7, 14)]
    today = [eve_record(number, http={"hostname": f"site{number}.example"}) for number in (21, 28)]
    make_segment(earlier)
    make_segment([*today, eve_record(1)])  # the last one is of another host
    page = shown(expert_client, make_session_item(queue, make_row(src_ip=HOST)))
    for told in ("<strong>2</strong> sessions that day", "<strong>3</strong> before", "on 1 day"):
        assert told in page, told
    for told in ("shop.example.com", "×3", "site21.example", "3 servers, 1 of them known from the days before"):
        assert told in page, told


def test_only_so_many_sessions_are_looked_at_and_the_page_says_so(make_segment, queue, expert_client, monkeypatch):
    monkeypatch.setattr(hosts, "SESSIONS", 2)
    make_segment([eve_record(number, timestamp="2026-02-27T10:00:00.000000+0000") for number in (0, 7, 14)])
    make_segment([eve_record(number) for number in (21, 28)])
    page = shown(expert_client, make_session_item(queue, make_row(src_ip=HOST)))
    assert "<strong>2</strong> sessions that day" in page
    assert "<strong>0</strong> before" in page
    assert "older ones are stored" in page


def test_where_no_traffic_is_stored_the_page_says_so(house, queue, expert_client):
    page = shown(expert_client, make_session_item(queue))
    assert "No stored traffic reaches back" in page


def test_an_address_of_a_customer_says_nothing_about_our_network(house, expert_client):
    queue = factories.make_queue(kind="complaint", slug="complaints")
    assert "another host here" in shown(expert_client, make_session_item(queue))


def test_other_items_of_the_host_are_listed_with_their_outcomes(house, queue, expert_client):
    item = make_session_item(queue, make_row(src_ip=HOST))
    others = {
        "told": make_session_item(queue, state="settled", outcome="positive", title="GET told.example/"),
        "open": make_session_item(queue, title="GET open.example/"),
        "twin": make_session_item(queue, subject_key=item.subject_key, title="GET twin.example/"),
        "drawn": make_proof_item(None, make_row(start=START + 1), title="GET drawn.example/"),
    }
    for other in others.values():
        ItemHost.objects.create(item=other, host=HOST)
    page = shown(expert_client, item)
    assert "1 positive" in page
    assert "1 waiting" in page
    assert [name for name, other in others.items() if other.title in page] == ["told", "open"]
