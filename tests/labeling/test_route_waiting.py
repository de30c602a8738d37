"""Routing: unique candidates fold by fingerprint into items; nothing is counted twice, whoever routes."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.fingerprint import fingerprint
from detection.sessions import COLUMN_NAMES
from detection.texts import storable
from labeling.models import Item, ItemHost, ItemRecord, ItemState, Queue
from labeling.services.records import to_json
from labeling.services.routing import route_waiting
from labeling.services.spread import Seen
from models_registry.models import ScoreFile
from tests import factories
from tests.labeling.conftest import eve_record, make_scores
from tests.processes import at_once
from traffic import storage

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(db):
    return factories.make_version(threshold=0.7)


def test_look_alikes_become_one_item(version, make_segment):
    segment = make_segment([eve_record(number) for number in range(9)])
    make_scores(version, segment, {row: 2.0 + row / 10 for row in range(8)})
    assert route_waiting() == 8
    item = Item.objects.select_related("record").get()
    assert (item.sessions, item.hosts, item.cell, item.reason) == (8, 7, "unique", "unique-candidate")
    assert item.title == "GET example.com/cgi-bin/N.sh?id=X'"
    assert item.fingerprint == fingerprint(version.detector.name, "unique", item.shape)
    assert sum(ItemHost.objects.values_list("sessions", flat=True)) == 8
    assert (item.first_at.second, item.last_at.second) == (0, 7)
    assert item.priority > 0
    assert item.decision["score"] == pytest.approx(0.9370266)
    assert item.queue.slug == f"{version.detector.name}-unique"


def test_times_and_sensors_of_a_group_are_counted_file_by_file(version, make_segment):
    for start in (0, 9):
        segment = make_segment([eve_record(number) for number in range(start, start + 9)])
        make_scores(version, segment, {row: 2.0 + row / 10 for row in range(8)})
        route_waiting()
    seen = Seen.of(Item.objects.select_related("record").get().record.spread)
    assert (seen.sensors, seen.times.sessions, seen.times.width) == ({"core-1": 16}, 16, 60)


def test_the_subject_is_the_session_the_model_is_surest_of(version, make_segment):
    segment = make_segment([eve_record(number) for number in range(5)])
    make_scores(version, segment, {0: 1.0, 3: 4.0, 4: 2.0})
    route_waiting()
    item = Item.objects.select_related("record").get()
    row = orjson.loads(item.record.row)
    assert item.subject_key == "core-1|1003|0|1772366403000000"
    assert row["uri"] == "/cgi-bin/3.sh?id=1%27"
    assert set(row) == set(COLUMN_NAMES)
    assert orjson.loads(item.record.raw)["flow_id"] == 1003
    [score] = orjson.loads(item.record.scores)
    assert score == {
        "version": version.number,
        "stage": "silent",
        "score": pytest.approx(0.98201379),
        "raw": 4.0,
        "threshold": 0.7,
        "verdict": True,
    }


def test_examples_come_from_other_hosts_first(version, make_segment):
    records = [eve_record(number, src_ip="10.0.0.1" if number < 10 else f"10.0.0.{number}") for number in range(14)]
    make_scores(version, make_segment(records), dict.fromkeys(range(14), 2.0))
    route_waiting()
    examples = orjson.loads(ItemRecord.objects.get().examples)
    assert len(examples) == 5
    assert {row["src_ip"] for row in examples} == {f"10.0.0.{last}" for last in (10, 11, 12, 13, 1)}


def test_different_looks_become_different_items(version, make_segment):
    records = [
        eve_record(0),
        eve_record(1, http={"hostname": "other.org"}),
        eve_record(2, http={"http_method": "POST"}),
    ]
    make_scores(version, make_segment(records), dict.fromkeys(range(3), 2.0))
    route_waiting()
    assert Item.objects.count() == 3


def test_routing_again_changes_nothing(version, make_segment):
    make_scores(version, make_segment([eve_record(0)]), {0: 2.0})
    assert [route_waiting(), route_waiting()] == [1, 0]
    assert Item.objects.get().sessions == 1


def test_a_later_segment_adds_to_the_item(version, make_segment):
    make_scores(version, make_segment([eve_record(number) for number in range(3)]), dict.fromkeys(range(3), 2.0))
    route_waiting()
    before = Item.objects.get()
    later = [eve_record(number) for number in range(100, 104)]
    make_scores(version, make_segment(later), dict.fromkeys(range(4), 3.0))
    route_waiting()
    item = Item.objects.select_related("record").get()
    assert (item.sessions, item.hosts) == (7, len({r["src_ip"] for r in later} | {"10.1.4.1", "10.1.4.2", "10.1.4.3"}))
    assert item.subject_key == before.subject_key  # what experts judge does not change under their hands
    assert item.priority > before.priority
    assert item.last_at > before.last_at
    assert len(orjson.loads(item.record.examples)) == 5


def test_a_settled_item_counts_on_and_stays_settled(version, make_segment):
    make_scores(version, make_segment([eve_record(0)]), {0: 2.0})
    route_waiting()
    Item.objects.update(state=ItemState.SETTLED, outcome="negative")
    make_scores(version, make_segment([eve_record(50)]), {0: 2.0})
    route_waiting()
    item = Item.objects.get()
    assert (item.state, item.outcome, item.sessions) == (ItemState.SETTLED, "negative", 2)


@pytest.mark.parametrize("stage", ["candidate", "retired"])
def test_candidates_and_retired_versions_cost_nobodys_time(stage, make_segment):
    version = factories.make_version(stage=stage)
    make_scores(version, make_segment([eve_record(0)]), {0: 2.0})
    assert route_waiting() == 0
    assert not Item.objects.exists()
    assert ScoreFile.objects.unrouted().count() == 1  # collected when the stage changes


def test_a_session_that_two_versions_flag_counts_once(version, make_segment):
    active = factories.make_version(detector=version.detector, stage="active", threshold=0.5)
    segment = make_segment([eve_record(number) for number in range(4)])
    make_scores(version, segment, {0: 2.0, 1: 2.0, 2: 2.0})
    make_scores(active, segment, {1: 1.0, 2: 1.0, 3: 1.0})
    assert route_waiting() == 4
    item = Item.objects.select_related("record").get()
    assert item.sessions == 4
    assert item.version == active  # the one customers see
    scores = orjson.loads(item.record.scores)
    assert [(score["version"], score["verdict"]) for score in scores] == [(1, True), (2, True)]


def test_detectors_do_not_share_items(version, make_segment):
    other = factories.make_version()
    segment = make_segment([eve_record(0)])
    make_scores(version, segment, {0: 2.0})
    make_scores(other, segment, {0: 2.0})
    assert route_waiting() == 2
    assert Queue.objects.count() == 2
    assert set(Item.objects.values_list("sessions", flat=True)) == {1}


def test_nothing_from_the_wire_stops_routing(version, make_segment):
    nasty = "/\x00\u202e</textarea><script>\U0001f600?" + "A" * 91_000
    records = [
        eve_record(0, http={"url": nasty, "http_user_agent": "\x00", "hostname": "x" * 5_000}),
        eve_record(1, http={"hostname": None, "url": None, "status": None, "http_method": None}),
    ]
    make_scores(version, make_segment(records), {0: 2.0, 1: 2.0})
    assert route_waiting() == 2
    for item in Item.objects.select_related("record"):
        assert "\0" not in item.title + item.record.row + item.record.raw
        assert set(orjson.loads(item.record.row)) == set(COLUMN_NAMES)


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_can_be_stored(text):
    stored = storable(text, 50)
    assert len(stored) <= 50
    assert "\0" not in stored
    stored.encode()
    assert "\0" not in to_json({"text": text})


def test_a_file_that_is_gone_waits_and_holds_up_nobody(version, make_segment):
    damaged = make_scores(version, make_segment([eve_record(1)]), {0: 2.0})
    make_scores(version, make_segment([eve_record(2)]), {0: 2.0})
    kept = storage.get_bytes(damaged.path)
    storage.delete(damaged.path)
    assert route_waiting() == 1
    assert list(ScoreFile.objects.unrouted()) == [damaged]
    storage.put_bytes(damaged.path, kept)
    assert route_waiting() == 1
    assert not ScoreFile.objects.unrouted().exists()


def test_questions_to_the_database_do_not_grow_with_sessions(version, make_segment, django_assert_max_num_queries):
    few, many = (
        [eve_record(number) for number in range(start, start + count)] for start, count in ((0, 3), (100, 300))
    )
    make_scores(version, make_segment(few), dict.fromkeys(range(3), 2.0))
    make_scores(version, make_segment(many), dict.fromkeys(range(300), 2.0))
    with django_assert_max_num_queries(70):
        assert route_waiting() == 303


@pytest.mark.django_db(transaction=True)
def test_routers_beside_each_other_count_nothing_twice(make_segment):
    version = factories.make_version()
    newer = factories.make_version(detector=version.detector)
    for start in range(0, 200, 40):
        segment = make_segment([eve_record(number) for number in range(start, start + 40)])
        make_scores(version, segment, dict.fromkeys(range(40), 2.0))
        make_scores(newer, segment, dict.fromkeys(range(10, 40), 2.0))
    routed = at_once(route_waiting, [()] * 4)
    assert sum(routed) == 200, routed
    item = Item.objects.get()
    assert (item.sessions, item.hosts) == (200, 7)
    assert sum(ItemHost.objects.values_list("sessions", flat=True)) == 200
    assert not ScoreFile.objects.unrouted().exists()
