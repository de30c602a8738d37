"""From a session or an item to look-alikes and neighbours in all stored traffic."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from labeling.services import hunts, similar
from models_registry.services.hunt_counts import count
from models_registry.services.hunts import groups
from tests.factories import make_detector, make_proof_item, make_session_item, make_version
from tests.labeling.conftest import make_scores
from tests.models_registry.loop import http, take_in
from traffic.models import Segment
from traffic.services.segments import read_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def segment(tmp_path):
    """Nine sessions that look alike but for numbers, six that do not; scores fall with their number."""
    records = [http(n, f"/shop/{n}/item?id={n * 7}") for n in range(9)] + [http(20 + n, f"/news/{n}") for n in range(6)]
    take_in(tmp_path, records)
    found = Segment.objects.get()
    version = make_version(detector=make_detector(name="http-attacks"), stage="silent")
    make_scores(version, found, {row: 3.0 - row / 10 for row in range(15)})
    return found


@pytest.fixture
def row(segment):
    return read_rows(segment, [2])[0]


def test_look_alikes_are_found_by_the_look_and_by_a_fingerprint(row, segment):
    assert similar.look_alikes(row).sessions == 9
    assert similar.look_alikes(row).hosts == 9
    item = make_session_item(row=row)
    for known in (item.shape, item.fingerprint):
        assert count(hunts.prepare(f"fingerprint == '{known}'")).sessions == 9
    assert count(hunts.prepare(f"look != '{item.shape}'")).sessions == 6
    assert [group.sessions for group in groups(hunts.prepare(""), "look")] == [9, 6]


def test_neighbours_are_nearest_first_with_the_counts_of_their_look(row, segment):
    version = make_version(detector=make_detector(name="other"))
    make_scores(version, segment, dict.fromkeys(range(15), 1.0))
    found = similar.neighbours(row, version, 1.0)
    assert found.looked_at == 14  # all but itself
    assert [(near.sessions, near.hosts) for near in found.near] == [(8, 8), (6, 6)]
    assert found.near[0].distance < found.near[1].distance
    assert count(hunts.prepare(found.near[1].look)).sessions == 6


def test_a_sessions_page_leads_to_both(expert_client, segment):
    rid = segment.pk << 32 | 2
    page = expert_client.get(reverse("labeling:session", args=[rid])).text
    alike, near = reverse("labeling:session-alike", args=[rid]), reverse("labeling:session-near", args=[rid])
    assert f'hx-get="{alike}"' in page
    assert f'hx-get="{near}"' in page
    fragment = expert_client.get(alike).text
    assert "<dd>9</dd>" in fragment
    query = re.search(r'href="(/hunt/\?q=[^"]+)"', fragment)[1]
    assert "errorlist" not in expert_client.get(query.replace("&amp;", "&")).text
    assert "near sessions of this look" in expert_client.get(near).text


def test_an_items_page_leads_to_both_but_a_drawn_one_shows_nothing(expert_client, row, segment):
    item = make_session_item(row=row)
    assert reverse("labeling:item-alike", args=[item.pk]) in expert_client.get(
        reverse("labeling:item-similar", args=[item.pk])
    ).text  # fmt: skip
    assert "<dd>9</dd>" in expert_client.get(reverse("labeling:item-alike", args=[item.pk])).text
    assert expert_client.get(reverse("labeling:item-near", args=[item.pk])).status_code == 200
    drawn = make_proof_item()
    for name in ("item-similar", "item-alike", "item-near"):
        assert expert_client.get(reverse(f"labeling:{name}", args=[drawn.pk])).status_code == 403
