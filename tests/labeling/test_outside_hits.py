"""What others said about a session, on its page: the item's copy at once, what is known now a moment later."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from detection.sessions import OUTSIDE_SID, TRANSACTION
from labeling.evidence import Evidence, Others
from labeling.models import Item, Queue
from models_registry.services import indicators
from tests import factories
from traffic.models import OutsideHit

pytestmark = pytest.mark.django_db


HIT = dict.fromkeys(("gid", "rev", "severity", "action")) | {
    "sid": OUTSIDE_SID,
    "signature": "942100 SQL injection",
    "category": "waf",
    "scope": TRANSACTION,
}


def test_the_copy_tells_when_the_rows_are_forgotten(queue: Queue) -> None:
    item = loaded(factories.make_session_item(queue, factories.make_row(hits=[HIT])))
    outside_hit(item)
    others = Others(item)
    assert (len(others.hits), len(others.copied_hits)) == (1, 0)  # once
    OutsideHit.objects.all().delete()
    others = Others(item)
    assert [hit["signature"] for hit in others.copied_hits] == ["942100 SQL injection"]
    assert not others.hits
    assert not Evidence(item).hits  # of the sensor's own rules


def test_the_page_shows_the_copy_at_once(queue: Queue, expert_client: Client) -> None:
    factories.make_session_item(queue, factories.make_row(hits=[HIT]))
    page = expert_client.get(reverse("labeling:work", args=[queue.slug])).text
    assert "942100 SQL injection" in page
    assert '<strong class="wire">waf</strong>' in page


def test_what_is_known_now_comes_with_the_explanation_even_where_that_fails(
    queue: Queue, expert_client: Client
) -> None:
    item = factories.make_session_item(queue, factories.make_row(hits=[HIT], host="evil.example"))
    outside_hit(item)
    indicators.import_list("bad", "domain", b"evil.example,loader\n")
    told = expert_client.get(reverse("labeling:explanation", args=[item.pk])).text
    assert "could not be worked out" in told  # its version has no files here
    assert '<div id="others" hx-swap-oob="morph">' in told
    assert told.count("SQL injection") == 1
    assert "evil.example" in told
    assert "loader" in told


def outside_hit(item: Item) -> None:
    told = {"session_key": item.subject_key, "sensor": "core-1", "flow_id": 1, "start": 1, "at": timezone.now()}
    OutsideHit.objects.create(system="waf", rule_id="942100", rule_name="SQL injection", **told)


def loaded(item: Item) -> Item:
    return Item.objects.select_related("record", "version__detector").get(pk=item.pk)
