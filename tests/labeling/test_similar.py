"""From a session or an item to look-alikes and neighbours in all stored traffic."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import pytest
from django.urls import reverse

from detection.filters.looks import look_of, write_look
from labeling.services import hunts, similar
from models_registry.services import hunt_looks
from models_registry.services.hunt_counts import count
from models_registry.services.hunt_tables import HuntTooLong
from models_registry.services.hunts import groups
from tests.factories import (
    make_detector,
    make_proof_item,
    make_row,
    make_session_item,
    make_stored_segment,
    make_tls_row,
    make_version,
)
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


def test_the_commonest_looks_are_counted_as_if_every_session_were_looked_at(monkeypatch):
    hosts = ["shop.example", "www.shop.example:8080", "10.0.0.1", None, "", "mail7.test"]
    targets = ["/a/17", "/a/9", "/%41/17", "/a/%31%37", "/x?id=1&b=a0f1e2d3c4", "/x?b=a9f8e7d6c5&id=22", None,
               "/img/3F2504E0-4F89-11D3-9A0C-0305E82C3301", "/a/١٧", "http://h1.test:81/a/5#6"]  # fmt: skip
    web = [make_row(flow_id=n, host=hosts[n % 6], uri=targets[n % 10], user_agent=["curl/8.1", "curl/7", None][n % 3],
                    src_ip=f"10.0.0.{n % 7}", ja3=[None, "ab" * 16][n % 2]) for n in range(150)]  # fmt: skip
    tls = [make_tls_row(flow_id=n, host=hosts[n % 6], ja3=f"{n:032x}",
                        ja4=["t13d0310h2_002f_1f22", "", None][n % 3],
                        cert_issuer=["CN=R3, O=One", "O=One,CN=E7", None, "CN=x12"][n % 4])
           for n in range(60)]  # fmt: skip
    make_stored_segment(web)
    make_stored_segment(tls)
    sessions, clients = Counter(), defaultdict(set)
    for row in [*web, *tls]:
        look = write_look(look_of(row))
        sessions[look] += 1
        clients[look].add(row["src_ip"])
    expected = sorted(((look, number, len(clients[look])) for look, number in sessions.items()),
                      key=lambda one: (-one[1], one[0]))  # fmt: skip
    assert len(expected) > 40
    found = groups(hunts.prepare(""), "look", 50)
    assert [(one.value, one.sessions, one.hosts) for one in found] == expected[:50]
    monkeypatch.setattr(hunt_looks, "MOST_TEXTS", 9)
    with pytest.raises(HuntTooLong, match="More than 9 different texts pass"):
        groups(hunts.prepare(""), "look")


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
