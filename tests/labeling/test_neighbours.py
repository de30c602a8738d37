"""Labelled neighbours: built where labels grow, shown with distance and what differs, never the answer itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from labeling.models import Item, NeighbourIndex
from labeling.services import claims, neighbours
from tests import factories
from tests.factories import make_proof_item, make_row, make_session_item
from traffic import storage

pytestmark = pytest.mark.django_db
GAINS = [{"name": "uri_length", "gain": 0.75}, {"name": "status", "gain": 0.25}]


@pytest.fixture
def version(house, db):
    return factories.make_version(report={"importance": GAINS})


@pytest.fixture
def queue(version):
    return factories.make_queue(detector=version.detector)


def labelled(queue, version, outcome="positive", uri="/a", **fields):
    """Return a settled item of a session with some request target."""
    row = make_row(uri=uri, uri_decoded=uri, status=fields.pop("status", 200))
    defaults = {"version": version, "state": "settled", "outcome": outcome, "settled_at": timezone.now()}
    return make_session_item(queue, row, **defaults | fields)


def asked(queue, version, uri="/ab", **fields):
    item = make_session_item(queue, make_row(uri=uri, uri_decoded=uri), version=version, **fields)
    return claims.items().get(pk=item.pk)


def shown(client, item):
    return client.get(reverse("labeling:neighbours", args=[item.pk])).text


def test_the_nearest_labelled_sessions_come_with_what_differs_in_words(queue, version, expert_client):
    near = labelled(queue, version, uri="/ab", status=404, title="GET near.example/")
    far = labelled(queue, version, "negative", uri="/" + "c" * 339, title="GET far.example/")
    labelled(queue, version, "undecided", uri="/ab")
    assert neighbours.build_due() == 1
    page = shown(expert_client, asked(queue, version))
    assert page.index(near.title) < page.index(far.title)
    assert "request target: length, bytes" in page
    assert "3 ↔ 340" in page
    assert "200 ↔ 404" in page
    assert f"● 1 {queue.detector.positive_class}" in page
    assert f"○ 1 {queue.detector.negative_class}" in page
    assert str(version) in page


def test_another_answer_about_the_same_session_is_no_neighbour(queue, version, expert_client):
    """It is the answer, not evidence."""
    other = factories.make_queue(detector=queue.detector, kind="missed", slug="missed-ones")
    twin = labelled(other, version, uri="/ab", title="GET twin.example/")
    labelled(queue, version, uri="/abc")
    neighbours.build_due()
    page = shown(expert_client, asked(queue, version, subject_key=twin.subject_key))
    assert twin.title not in page


def test_a_drawn_session_is_a_neighbour_once_nobody_can_answer_it_any_more(queue, version, expert_client):
    drawn = factories.make_queue(detector=queue.detector, kind="proof", slug="drawn-ones")
    fields = {"version": version, "state": "settled", "outcome": "positive", "title": "GET drawn.example/"}
    fresh = make_proof_item(drawn, make_row(flow_id=7), settled_at=timezone.now(), **fields)
    labelled(queue, version)
    neighbours.build_due()
    assert fresh.title not in shown(expert_client, item := asked(queue, version))
    Item.objects.filter(pk=fresh.pk).update(settled_at=timezone.now() - timedelta(days=1))
    neighbours.build_due()
    assert fresh.title in shown(expert_client, item)


def test_look_alikes_of_one_outcome_are_one_line(queue, version):
    for number in range(4):
        labelled(queue, version, uri=f"/a{number}", shape="a" * 32)
    neighbours.build_due()
    item = asked(queue, version)
    _version, [found] = neighbours.of_item(item, make_row(uri="/ab"))
    assert found.more == 3


def test_a_label_that_no_longer_stands_is_not_shown(queue, version, expert_client):
    gone = labelled(queue, version, title="GET undone.example/")
    neighbours.build_due()
    Item.objects.filter(pk=gone.pk).update(state="open", outcome="")
    assert gone.title not in shown(expert_client, asked(queue, version))


def test_it_is_built_again_when_labels_have_grown_and_not_before(queue, version):
    for _number in range(10):
        labelled(queue, version)
    assert neighbours.build_due() == 1
    labelled(queue, version)
    assert neighbours.build_due() == 0  # a tenth more: tonight
    NeighbourIndex.objects.update(built_at=timezone.now() - timedelta(days=2))
    assert neighbours.build_due() == 1
    before = NeighbourIndex.objects.get().path
    for _number in range(5):
        labelled(queue, version)
    assert neighbours.build_due() == 1
    index = NeighbourIndex.objects.get()
    assert index.rows == 16
    assert storage.exists(index.path)
    assert not storage.exists(before)


def test_a_version_that_retired_without_an_index_borrows_the_newest(queue, version, expert_client):
    labelled(queue, version)
    neighbours.build_due()
    old = factories.make_version(detector=version.detector, stage="retired", number=99)
    page = shown(expert_client, asked(queue, old))
    assert f"Distance as {version} reads" in page


def test_without_an_index_the_page_says_what_would_make_one(queue, version, expert_client):
    assert "No labelled neighbours yet" in shown(expert_client, asked(queue, version))


def test_a_lost_file_is_told_and_made_again(queue, version, expert_client):
    labelled(queue, version)
    neighbours.build_due()
    storage.delete(NeighbourIndex.objects.get().path)
    neighbours._index.cache_clear()
    page = shown(expert_client, asked(queue, version))
    assert "could not be read" in page
    assert ".parquet" not in page  # where files lie is for the log
    assert neighbours.build_due() == 1
