"""The heavy parts of the labelling page: never in the way of the next item, and silent about drawn sessions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from labeling import evidence
from labeling.models import Item, ItemHost, Queue
from labeling.services import claims, neighbours, surroundings
from tests import factories
from tests.factories import make_proof_item, make_row, make_session_item

pytestmark = pytest.mark.django_db
PARTS = ("explanation", "neighbours", "spread", "host")
FRAGMENTS = (*PARTS, "place")  # the last one when somebody opens it
LAZY = re.compile(r'data-lazy hx-get="([^"]+)" hx-trigger="load delay:400ms"')
URLS = Path(__file__).resolve().parents[2] / "labeling" / "urls.py"


@pytest.fixture
def drawn(house, expert):
    queue = factories.make_queue(kind=Queue.Kind.PROOF, slug="sealed-envelope")
    item = make_proof_item(queue, make_row(), cell="unique", title="GET intranet.example/x")
    ItemHost.objects.create(item=item, host="10.77.0.77")
    assert claims.claim(item, expert)
    return item


def test_every_part_is_asked_for_by_its_own_address(queue, item, expert_client):
    page = expert_client.get(reverse("labeling:work", args=[queue.slug])).text
    assert sorted(LAZY.findall(page)) == sorted(reverse(f"labeling:{part}", args=[item.pk]) for part in PARTS)


def test_these_are_all_the_fragments_there_are():
    """A new one must be refused for drawn sessions too: name it in FRAGMENTS."""
    served = set(re.findall(r'items/<int:pk>/\w+/", evidence\.(\w+),', URLS.read_text()))
    assert served == set(FRAGMENTS)


@pytest.mark.parametrize("part", FRAGMENTS)
def test_of_a_drawn_session_every_part_is_refused_before_the_answer(drawn, part, expert_client, senior_client):
    for client in (expert_client, senior_client):
        answer = client.get(reverse(f"labeling:{part}", args=[drawn.pk]))
        assert answer.status_code == 403
        told = answer.text + str(answer.headers)
        for secret in ("sealed-envelope", "10.77.0.77", "0.94", "clean", "stands for"):
            assert secret not in told, secret


@pytest.mark.parametrize("part", FRAGMENTS)
def test_an_item_that_is_not_there_and_a_drawn_one_are_told_apart_by_nothing_else(drawn, part, expert_client):
    assert expert_client.get(reverse(f"labeling:{part}", args=[10**9])).status_code == 404
    assert expert_client.get(reverse(f"labeling:{part}", args=[drawn.pk])).status_code == 403


def test_a_drawn_session_asks_for_no_part_and_names_no_queue_on_its_ways_out(drawn, expert_client):
    page = expert_client.get(reverse("labeling:item", args=[drawn.pk])).text
    assert not LAZY.findall(page)
    assert "sealed-envelope" not in page
    Item.objects.filter(pk=drawn.pk).update(claimed_by=factories.make_user())
    refused = expert_client.post(
        reverse("labeling:submit-label", args=[drawn.pk]), {"answer": "positive"}, headers={"HX-Request": "true"}
    )
    assert refused.status_code == 409
    released = expert_client.post(reverse("labeling:release-item", args=[drawn.pk]), headers={"HX-Request": "true"})
    for answer in (refused, released):
        assert "sealed-envelope" not in answer.text + str(answer.headers)


def test_an_answer_and_the_next_item_work_out_none_of_them(queue, expert_client, expert, monkeypatch):
    def not_now(*_all, **_more):
        pytest.fail("a heavy part was worked out before its time")

    for module, name in (
        (evidence, "why"),
        (evidence, "bars_today"),
        (evidence, "looks_like"),
        (evidence, "Group"),
        (neighbours, "of_item"),
        (surroundings, "of_host"),
        (surroundings, "host_history"),
        (surroundings, "alike"),
    ):
        monkeypatch.setattr(module, name, not_now)
    first, second = (make_session_item(queue, priority=priority) for priority in (2, 1))
    assert claims.claim(first, expert)
    url = reverse("labeling:submit-label", args=[first.pk])
    with CaptureQueriesContext(connection) as asked:
        page = expert_client.post(url, {"answer": "positive"}, headers={"HX-Request": "true"}).text
    assert reverse("labeling:submit-label", args=[second.pk]) in page
    records = [query["sql"] for query in asked if "itemrecord" in query["sql"] and query["sql"].startswith("SELECT")]
    assert not [sql for sql in records if '"spread"' in sql or '"examples"' in sql]
    assert not [query["sql"] for query in asked if "suggestion" in query["sql"] or "neighbour" in query["sql"]]
