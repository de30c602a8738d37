"""Hunted queues beside the unique candidates: versions that differ, scores near the threshold, what a model missed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from django.urls import reverse

from detection.rules import RuleVerdict
from detection.scoring import probability
from detection.selection import CELL_CODES, cells
from detection.tables import SCORE_SCHEMA
from detection.thresholds import raw_threshold
from labeling.models import Item, Queue
from labeling.services import routing
from labeling.services.routing import route_waiting
from tests import factories
from tests.labeling.conftest import eve_record
from traffic import storage
from traffic.services import segments

pytestmark = pytest.mark.django_db
HIT, CLEAN = RuleVerdict.HIT, RuleVerdict.CLEAN


@pytest.fixture
def version(db):
    return factories.make_version(threshold=0.7, stage="active")


def make_scores(version, segment, raws, rules):
    """Store what a version and the rules said, session by session."""
    rows = segments.read_sessions(segment, columns=["rid", "src_ip"])
    verdict = np.array(raws) >= raw_threshold(version.threshold)
    spoke = np.array([int(rule) for rule in rules], np.int8)
    table = pa.table(
        {
            "rid": rows["rid"],
            "raw": raws,
            "verdict": verdict,
            "rules": spoke,
            "cell": cells(verdict, spoke),
            "src_ip": rows["src_ip"].cast(pa.string()),
        }
    ).cast(SCORE_SCHEMA)
    file = factories.make_score_file(version=version, segment=segment, rows=segment.rows)
    storage.put_table(file.path, table)
    return file


def looks(number, **changes):
    """Return a record that looks like no other."""
    return eve_record(number, http={"hostname": f"site{number}.example{number}.org"}, **changes)


def queued():
    return dict(Item.objects.values_list("subject_key", "queue__kind"))


def key(number):
    return f"core-1|{1000 + number}|0|{1772366400000000 + number * 1_000_000}"


def test_each_reason_has_its_queue(version, make_segment):
    silent = factories.make_version(detector=version.detector, threshold=0.7, stage="silent")
    segment = make_segment([looks(number) for number in range(5)])
    #          unique  missed  covered/differs  uncertain  quiet
    make_scores(version, segment, [2.0, -4.0, 3.0, 0.6, -4.0], [CLEAN, HIT, HIT, CLEAN, CLEAN])
    make_scores(silent, segment, [2.0, -4.0, -0.5, -4.0, -4.0], [CLEAN, HIT, CLEAN, CLEAN, CLEAN])
    assert route_waiting() == 4
    assert queued() == {key(0): "unique", key(1): "missed", key(2): "disagreement", key(3): "uncertain"}
    reasons = set(Item.objects.values_list("reason", "decision__rule_verdict"))
    assert ("missed", "hit") in reasons
    assert ("uncertain", "clean") in reasons
    assert {queue.kind: queue.waiting for queue in Queue.objects.all()} == dict.fromkeys(queued().values(), 1)


def test_a_session_is_shown_once_whoever_looks_later(version, make_segment):
    segment = make_segment([looks(0)])
    make_scores(version, segment, [-4.0], [HIT])
    route_waiting()
    make_scores(factories.make_version(detector=version.detector, threshold=0.7), segment, [2.0], [HIT])
    assert route_waiting() == 0
    assert queued() == {key(0): "missed"}


def test_the_least_certain_session_is_the_one_experts_judge(version, make_segment):
    segment = make_segment([eve_record(number) for number in range(3)])
    raws = [float(np.log(p / (1 - p))) for p in (0.62, 0.695, 0.66)]
    make_scores(version, segment, raws, [CLEAN] * 3)
    route_waiting()
    item = Item.objects.get()
    assert (item.subject_key, item.sessions) == (key(1), 3)
    assert item.priority > 0.9


def test_one_look_and_host_comes_before_the_next_of_the_same(version, make_segment, monkeypatch):
    monkeypatch.setattr(routing, "POLICY", routing.SelectionPolicy(most_uncertain=3))
    same = [eve_record(number, src_ip="10.0.0.1") for number in range(6)]
    others = [looks(number, src_ip=f"10.0.1.{number}") for number in (6, 7)]
    segment = make_segment([*same, *others])
    make_scores(version, segment, [0.84] * 6 + [0.5, 0.5], [CLEAN] * 8)  # the six are nearest to the threshold
    assert route_waiting() == 3
    assert sorted(Item.objects.values_list("sessions", flat=True)) == [1, 1, 1]


def test_every_host_gets_one_item_before_anybody_gets_two(version, make_segment):
    talkative = [looks(number, src_ip="10.0.0.1") for number in range(3)]
    segment = make_segment([*talkative, looks(3, src_ip="10.0.0.2")])
    make_scores(version, segment, [0.84, 0.83, 0.82, 0.5], [CLEAN] * 4)
    route_waiting()
    order = list(Item.objects.order_by("-priority").values_list("subject_key", flat=True))
    assert order == [key(0), key(3), key(1), key(2)]
    assert sorted(item.decision["round"] for item in Item.objects.all()) == [0, 0, 1, 2]


def test_a_low_threshold_does_not_make_all_traffic_uncertain(make_segment):
    version = factories.make_version(threshold=0.05, stage="active")
    segment = make_segment([eve_record(number) for number in range(400)])
    make_scores(version, segment, [-5.0] * 400, [CLEAN] * 400)
    assert probability(-5.0) < version.threshold
    assert route_waiting() <= routing.POLICY.most_uncertain


def test_the_page_says_why_an_item_is_here(version, make_segment, expert_client):
    segment = make_segment([looks(0)])
    make_scores(version, segment, [-4.0], [HIT])
    route_waiting()
    page = expert_client.get(reverse("labeling:work", args=[f"{version.detector.name}-missed"])).text
    assert "missed by the model" in page
    assert "rules hit" in page
    assert "rules clean" not in page
    assert "negative:" not in page  # the model gave no verdict that could be wrong


def test_cells_are_all_in_use():
    assert len(CELL_CODES) == 6
