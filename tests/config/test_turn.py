"""The whole loop turned once, by simulated people, through the pages. The turn itself takes a minute: slow."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import Sum
from django.test import Client
from django.urls import reverse

from config.demo import field, world
from config.demo import turn as turns
from config.demo.experts import NotAsExpected
from config.demo.people import make_people
from config.demo.turn import Plan, turn
from jobs.models import Job, State
from jobs.services import jobs
from labeling.models import Item, ItemRecord, Label, ReferenceRow
from models_registry.models import Bundle, GateReport, StageDecision, Version
from tests import factories
from traffic.models import Segment
from triage.models import Complaint

KEYS = ["sessions", "board", "items", "labels", "reference", "candidate", "gate", "bundle", "complaints", "seconds"]
SMALL = Plan(minutes=2.0, answers=60, answers_broad=6, answers_again=20, later_seconds=1.0, rounds=2, proofs=6)


@pytest.mark.parametrize(
    ("before", "begins"),
    [
        ("2026-11-22T02:40", "2026-11-20T07:00"),  # a Sunday night: Friday
        ("2026-11-20T07:00", "2026-11-20T07:00"),
        ("2026-11-20T06:59", "2026-11-19T07:00"),
        ("2026-11-23T01:00", "2026-11-20T07:00"),
    ],
)
def test_the_stored_traffic_is_of_a_working_morning(before, begins):
    told = turns._newest_morning(datetime.fromisoformat(before).replace(tzinfo=UTC))
    assert told == datetime.fromisoformat(begins).replace(tzinfo=UTC)


def test_the_same_seed_gives_the_same_world():
    start = datetime(2026, 11, 20, 7, tzinfo=UTC)
    lines = [list(world.busy.__wrapped__(seed).lines(start, start + timedelta(seconds=20))) for seed in (1, 1, 2)]
    assert lines[0] == lines[1] != lines[2]


def test_the_networks_of_a_world_differ():
    start = datetime(2026, 11, 20, 7, tzinfo=UTC)
    flows = [{t.flow_id for t in one.truth(start, start + timedelta(seconds=30))} for one in world.everywhere(1)]
    assert len(set.union(*flows)) == sum(map(len, flows))


@pytest.mark.django_db
def test_a_job_that_fails_ends_the_turn_with_its_error():
    job = jobs.start("labeling.tasks.retrain", "retrain none", {"detector": 0}, kind="retrain")
    with pytest.raises(NotAsExpected, match=r"retrain none is failed: DoesNotExist"):
        turns._finish(job)


@pytest.mark.django_db
def test_a_job_that_is_done_already_is_not_done_again():
    job = factories.make_job(state=State.DONE, task="labeling.tasks.retrain")
    assert turns._finish(job) == job


def test_a_tick_that_somebody_holds_is_waited_for(monkeypatch):
    monkeypatch.setattr(turns, "PAUSE", 0.0)
    answers = iter([None, None, 0])
    turns._tick(lambda: next(answers))
    assert list(answers) == []


@pytest.mark.slow
@pytest.mark.django_db
def test_the_whole_loop():
    told = []
    people = make_people()
    report = turn(told.append, people=people, plan=SMALL)

    # one JSON object with the keys that were promised
    assert list(report) == KEYS
    assert json.loads(json.dumps(report)) == report
    assert isinstance(report["gate"]["passed"], bool)
    assert [sorted(check) for check in report["gate"]["checks"]] == [
        ["figure", "level", "limit", "name", "passed", "text"]
    ] * len(report["gate"]["checks"])
    assert told

    # sums are the database's
    assert report["sessions"]["total"] == Segment.objects.sealed().aggregate(rows=Sum("rows"))["rows"]
    assert report["items"]["total"] == Item.objects.count()
    assert report["labels"]["total"] == Label.objects.current().count() == sum(report["labels"]["answers"].values())
    assert report["labels"]["total"] == sum(one["answers"] for one in report["labels"]["by"].values())
    assert report["reference"]["total"] == ReferenceRow.objects.count() > 0
    assert set(report["board"]) == {str(one) for one in Version.objects.all()}
    for board in report["board"].values():
        assert board["sessions"] == sum(cell["sessions"] for cell in board["cells"].values())

    # answers went through claims, stages through two people, work through jobs
    assert not Label.objects.filter(milliseconds=None).exists()
    for decision in StageDecision.objects.select_related("by", "proposal__by"):
        assert {decision.by.role, decision.proposal.by.role} == {"engineer", "senior"}
    assert Job.objects.filter(kind="retrain", state=State.DONE).count() == Version.objects.count()
    assert not Job.objects.exclude(state=State.DONE).exists()

    # the gate was not rigged: what it says is the newest report, and only what passed is loud
    gate = GateReport.objects.get(digest=report["gate"]["sha256"])
    assert gate.passed is report["gate"]["passed"]
    for bundle in Bundle.objects.all():
        assert all(one.is_silent or one.gate_report.passed for one in bundle.entries.all())
    assert report["bundle"]["sha256"] == Bundle.objects.latest("id").digest
    first = Bundle.objects.earliest("id")  # where it speaks, a customer keeps it: his incident's clock will run
    speaks = first.entries.filter(is_silent=False).exists()
    assert first.publications.filter(customer__name=field.GOES_BAD).exists() == speaks
    for complaint, told_of in zip(Complaint.objects.order_by("id"), report["complaints"], strict=True):
        states = list(complaint.states.order_by("id").values_list("state", flat=True))
        assert states == [step["state"] for step in told_of["states"]]

    # nobody is told the truth
    assert not [word for word in truth_words() if word in database_text() + page_text(people["expert"])]


def truth_words():
    """What only the simulator knows: variants of attacks and the names of what looks like them."""
    return ["look-alike'", "is_attack", "rules_hit", "sqli-comments", "c2-magpie", "update-pings", "infusion-pumps"]


def database_text():
    records = ItemRecord.objects.values_list("row", "raw", "scores", "examples")
    labels = Label.objects.values_list("note", "family", "reason_code")
    items = Item.objects.values_list("title", "decision", "reason", "subject_key")
    return "\n".join(str(row) for rows in (records, labels, items) for row in rows)


def page_text(user):
    client = Client(SERVER_NAME="localhost")
    client.force_login(user)
    items = Item.objects.order_by("pk")[:20]
    return "".join(client.get(reverse("labeling:item", args=[item.pk])).content.decode() for item in items)
