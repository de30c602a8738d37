"""The group of an item: over which hosts, times and sensors its sessions are spread."""

from __future__ import annotations

import re

import orjson
import pytest
from django.urls import reverse

from detection.spread import Spread
from labeling.models import ItemHost
from labeling.services.spread import Seen
from tests import factories
from tests.factories import START, make_proof_item, make_row, make_session_item

pytestmark = pytest.mark.django_db
HOUR = 3_600_000_000  # microseconds


def shown(client, item):
    return client.get(reverse("labeling:spread", args=[item.pk])).text


@pytest.fixture
def group(queue):
    """An item of seven sessions of two hosts, two sensors and three hours."""
    times = Spread().plus([START] * 4 + [START + HOUR] + [START + 3 * HOUR] * 2)
    examples = [make_row(flow_id=2, src_ip="10.1.4.99", uri="/cgi-bin/<b>y.sh")]
    record = {
        "spread": Seen(times, {"core-1": 6, "branch<i>": 1}).to_text(),
        "examples": orjson.dumps(examples).decode(),
    }
    item = make_session_item(queue, sessions=7, hosts=12, record=record)
    for host, sessions in (("10.1.4.22", 5), ("10.1.4.99", 2)):
        ItemHost.objects.create(item=item, host=host, sessions=sessions)
    return item


def test_hosts_times_and_sensors_are_drawn_with_their_counts(group, expert_client):
    page = shown(expert_client, group)
    for told in ("10.1.4.22", ">5<", "and 10 others", "2 sensors", "core-1", ">6<", "5 minutes a bar", "10.1.4.99"):
        assert told in page, told
    heights = [float(height) for height in re.findall(r'height="([\d.]+)"><title>', page)]
    assert heights == [28.0, 7.0, 14.0]


def test_what_came_from_the_wire_is_escaped(group, expert_client):
    page = shown(expert_client, group)
    assert "<b>y" not in page
    assert "branch<i>" not in page
    assert "branch&lt;i&gt;" in page


def test_earlier_items_of_the_look_are_listed_with_their_outcome(queue, expert_client):
    item = make_session_item(queue, shape="a" * 32)
    other = factories.make_queue(detector=queue.detector, kind="missed", slug="missed-ones")
    settled = make_session_item(other, shape="a" * 32, state="settled", outcome="negative", title="GET old.example/")
    page = shown(expert_client, item)
    assert "Earlier items of this look" in page
    assert reverse("labeling:item", args=[settled.pk]) in page
    assert settled.outcome_name in page


def test_the_same_session_asked_elsewhere_is_no_earlier_item(queue, expert_client):
    """Its outcome would be the answer."""
    item = make_session_item(queue, shape="a" * 32)
    other = factories.make_queue(detector=queue.detector, kind="missed", slug="missed-ones")
    make_session_item(other, shape="a" * 32, state="settled", outcome="negative", subject_key=item.subject_key)
    assert "Earlier items" not in shown(expert_client, item)


def test_a_drawn_session_is_no_earlier_item_until_its_outcome_is_told(queue, expert_client):
    item = make_session_item(queue, shape="a" * 32)
    drawn = factories.make_queue(detector=queue.detector, kind="proof", slug="drawn-ones")
    make_proof_item(drawn, make_row(flow_id=9), version=item.version, shape="a" * 32)
    assert "Earlier items" not in shown(expert_client, item)


def test_an_item_made_before_spreads_were_kept_shows_its_hosts(queue, expert_client):
    item = make_session_item(queue, sessions=3)
    ItemHost.objects.create(item=item, host="10.1.4.22", sessions=3)
    page = shown(expert_client, item)
    assert "10.1.4.22" in page
    assert "<svg viewBox" not in page
