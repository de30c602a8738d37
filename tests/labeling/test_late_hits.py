"""labeling.tasks.correct_items: a rule hit that arrived later is told on its item, and what it stands for follows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.urls import reverse

from labeling.models import Item, ItemHost, ItemState, Label, Queue
from labeling.services import late_hits as item_hits
from labeling.services import routing
from labeling.services.routing import route_waiting
from labeling.services.spread import Seen
from models_registry.models import Correction, ScoreFile
from models_registry.services import corrections
from tests import factories
from tests.labeling.conftest import eve_record, make_scores
from traffic.models import Segment
from traffic.services import ingest, late_hits

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(db: None) -> Any:
    return factories.make_version(threshold=0.7)


@pytest.fixture
def arrive(tmp_path: Path) -> Callable[..., int]:
    """Have rule hits on flows come in a later file; return what items were told."""

    def arrived(*numbers: int, category: str = "Attack") -> int:
        lines = []
        for number in numbers:
            told = {"signature_id": 7, "signature": "ET <b>late</b>", "category": category, "severity": 1}
            record = eve_record(number) | {"event_type": "alert", "alert": told}
            del record["http"]
            lines.append(orjson.dumps(record))
        path = tmp_path / f"late-{Segment.objects.count()}-{numbers}-{category}.json"
        path.write_bytes(b"\n".join(lines))
        ingest.ingest_paths([path], "core-1")
        late_hits.collect()
        corrections.correct_waiting()
        return item_hits.correct_waiting()

    return arrived


def test_an_item_whose_only_session_is_covered_after_all_leaves_its_queue(version, make_segment, arrive):
    make_scores(version, make_segment([eve_record(0)]), {0: 2.0})
    route_waiting()
    assert arrive(0) == 1
    item = Item.objects.select_related("record").get()
    assert (item.cell, item.state, item.sessions) == ("covered", ItemState.EXPIRED, 0)
    assert item.late_hit_at is not None
    assert item.decision["rule_verdict"] == "hit"
    assert orjson.loads(item.record.row)["hits"][0]["sid"] == 7
    assert Queue.objects.get().waiting == 0


def test_the_look_may_come_again_as_a_case_of_its_own(version, make_segment, arrive):
    make_scores(version, make_segment([eve_record(0)]), {0: 2.0})
    route_waiting()
    arrive(0)
    make_scores(version, make_segment([eve_record(1)]), {0: 2.0})
    route_waiting()
    old, new = Item.objects.order_by("pk")
    assert (old.state, new.state, new.cell, new.sessions) == (ItemState.EXPIRED, ItemState.OPEN, "unique", 1)


def test_an_item_no_longer_stands_for_a_session_that_rules_hit(version, make_segment, arrive):
    records = [eve_record(number) for number in range(9)]  # seven hosts
    make_scores(version, make_segment(records), {row: 2.0 + row / 10 for row in range(9)})
    route_waiting()
    assert arrive(2, 3) == 2
    item = Item.objects.select_related("record").get()
    assert (item.state, item.cell, item.sessions, item.hosts) == (ItemState.OPEN, "unique", 7, 5)
    assert item.late_hit_at is None  # the session that experts judge was not hit
    assert sum(ItemHost.objects.values_list("sessions", flat=True)) == 7
    assert Seen.of(item.record.spread).sensors == {"core-1": 7}
    assert not {1002, 1003} & {row["flow_id"] for row in orjson.loads(item.record.examples)}


def test_when_the_subject_is_hit_another_session_of_the_look_is_asked_about(version, make_segment, arrive):
    records = [eve_record(number) for number in range(3)]
    make_scores(version, make_segment(records), {0: 2.0, 1: 4.0, 2: 3.0})
    route_waiting()
    arrive(1)
    item = Item.objects.select_related("record").get()
    assert item.subject_key == "core-1|1002|0|1772366402000000"
    assert (item.cell, item.sessions, item.state, item.late_hit_at) == ("unique", 2, ItemState.OPEN, None)
    row = orjson.loads(item.record.row)
    assert (row["flow_id"], row["hits"]) == (1002, [])
    assert orjson.loads(item.record.raw)["flow_id"] == 1002
    assert orjson.loads(item.record.scores)[0]["raw"] == 3.0
    assert [one["flow_id"] for one in orjson.loads(item.record.examples)] == [1000]


def test_where_no_other_session_is_at_hand_the_item_tells_of_its_hit(version, make_segment, arrive):
    make_scores(version, make_segment([eve_record(0)]), {0: 2.0})
    route_waiting()
    make_scores(version, make_segment([eve_record(1)]), {0: 2.0})
    route_waiting()
    arrive(0)
    item = Item.objects.get()
    assert (item.state, item.cell, item.sessions) == (ItemState.OPEN, "covered", 1)
    assert item.late_hit_at is not None


def test_a_quiet_session_becomes_an_item_of_what_the_model_missed(version, make_segment, arrive):
    make_scores(version, make_segment([eve_record(0), eve_record(1)]), {})
    assert route_waiting() == 0
    assert arrive(1) == 1
    item = Item.objects.select_related("queue").get()
    assert (item.reason, item.cell, item.queue.kind, item.sessions) == ("missed", "missed", "missed", 1)
    assert item.late_hit_at is not None
    assert item.queue.waiting == 1


def test_a_label_is_kept_and_what_is_derived_from_it_is_corrected(version, make_segment, arrive, answer, expert):
    make_scores(version, make_segment([eve_record(0)]), {0: 2.0})
    route_waiting()
    answer(Item.objects.get(), expert, "positive")
    Item.objects.update(state=ItemState.SETTLED, outcome="positive")
    assert Item.objects.get().is_unique_detect
    arrive(0)
    item = Item.objects.get()
    assert Label.objects.get().answer == "positive"
    assert (item.state, item.outcome, item.cell) == (ItemState.SETTLED, "positive", "covered")
    assert not item.is_unique_detect
    assert item.late_hit_at is not None


def test_an_item_in_an_experts_hands_stays_and_tells(version, make_segment, arrive, expert):
    from labeling.services import claims

    make_scores(version, make_segment([eve_record(0)]), {0: 2.0})
    route_waiting()
    assert claims.claim(Item.objects.get(), expert)
    arrive(0)
    item = Item.objects.get()
    assert (item.state, item.cell) == (ItemState.OPEN, "covered")
    assert item.late_hit_at is not None


def test_a_hit_that_says_nothing_about_the_class_is_shown_and_moves_nothing(version, make_segment, arrive):
    make_scores(version, make_segment([eve_record(0)]), {0: 2.0})
    route_waiting()
    arrive(0, category="Misc activity")
    item = Item.objects.select_related("record").get()
    assert (item.state, item.cell, item.sessions) == (ItemState.OPEN, "unique", 1)
    assert item.late_hit_at is not None
    assert orjson.loads(item.record.row)["hits"][0]["category"] == "Misc activity"


def test_telling_again_changes_nothing(version, make_segment, arrive):
    make_scores(version, make_segment([eve_record(number) for number in range(4)]), dict.fromkeys(range(4), 2.0))
    route_waiting()
    arrive(2)
    assert item_hits.correct_waiting() == 0
    before = Item.objects.values().get()
    Correction.objects.update(collected_at=None)  # not what a kill can do, but half of it
    ScoreFile.objects.update(late_hits=0)
    corrections.correct_waiting()
    assert Correction.objects.latest("pk").rows == [[2, 2, 2]]
    Correction.objects.filter(pk=Correction.objects.earliest("pk").pk).delete()
    item_hits.correct_waiting()
    assert Item.objects.values().get() == before


def test_two_versions_that_flag_a_session_are_corrected_once(version, make_segment, arrive):
    other = factories.make_version(detector=version.detector, threshold=0.7)
    segment = make_segment([eve_record(number) for number in range(4)])
    for one in (version, other):
        make_scores(one, segment, dict.fromkeys(range(4), 2.0))
    route_waiting()
    assert Item.objects.get().sessions == 4
    arrive(3)
    item = Item.objects.get()
    assert (item.sessions, item.hosts) == (3, 3)


def test_two_workers_at_once_correct_once(version, make_segment, arrive, monkeypatch):
    make_scores(version, make_segment([eve_record(number) for number in range(4)]), dict.fromkeys(range(4), 2.0))
    route_waiting()
    honest = item_hits._read
    turns: list[int] = []

    def another_is_faster(*args: Any) -> Any:
        found = honest(*args)
        if not turns:
            turns.append(1)
            assert item_hits.correct_waiting() == 1
        return found

    monkeypatch.setattr(item_hits, "_read", another_is_faster)
    assert arrive(3) == 0
    assert Item.objects.get().sessions == 3


def test_a_file_that_was_corrected_while_it_was_routed_is_routed_as_corrected(
    version, make_segment, arrive, monkeypatch
):
    make_scores(version, make_segment([eve_record(0), eve_record(1)]), {0: 2.0})
    honest = routing.read_lines

    def late(*args: Any) -> None:
        honest(*args)
        assert arrive(0) == 0  # nothing was routed yet, so nothing is to be corrected

    monkeypatch.setattr(routing, "read_lines", late)
    assert route_waiting() == 0
    assert not Item.objects.exists()


def test_the_item_says_so_and_the_hit_is_text(version, make_segment, arrive, engineer_client):
    make_scores(version, make_segment([eve_record(0)]), {0: 2.0})
    route_waiting()
    arrive(0)
    item = Item.objects.get()
    page = engineer_client.get(reverse("labeling:item", args=[item.pk])).text
    assert "rule hit arrived later" in page
    assert "ET &lt;b&gt;late&lt;/b&gt;" in page
    listed = engineer_client.get(reverse("labeling:queue", args=[item.queue.slug]), {"state": "expired"}).text
    assert "rule hit arrived later" in listed


def test_whoever_may_answer_a_proof_item_is_told_nothing(expert_client, expert):
    from django.utils import timezone

    item = factories.make_proof_item(late_hit_at=timezone.now())
    for address in (reverse("labeling:item", args=[item.pk]), reverse("labeling:queue", args=[item.queue.slug])):
        assert "arrived later" not in expert_client.get(address).text
