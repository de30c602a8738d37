"""`manage.py ingest attack.pcap --label positive`: a dump's word and one expert's make a reference row."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import User
from accounts.roles import Role
from labeling.models import Answer, DumpLabel, Item, ItemState, Label, Queue, ReferenceRow, Source
from labeling.services import claims, dumps, labels, reference, routing
from models_registry.models import ScoreFile, Version
from models_registry.services import boards, scoring
from models_registry.services.training import weak_rows
from tests import factories
from tests.traffic.captures import conversation, pcap
from traffic.models import Intake, Kind, Segment
from traffic.services.ingest import ingest_paths

pytestmark = pytest.mark.django_db
needs_suricata = pytest.mark.skipif(shutil.which("suricata") is None, reason="no suricata program on this machine")


@pytest.fixture
def analyst(db: None) -> User:
    return factories.make_user(Role.ENGINEER, username="ada")


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Two looks: an attack from two connections, and a page."""
    path = tmp_path / "attack.pcap"
    frames = conversation(["/cgi-bin/x.sh?id=1%27", "/news"]) + conversation(["/cgi-bin/x.sh?id=2%27"], port=40001)
    path.write_bytes(pcap(frames))
    return path


@pytest.fixture
def dump(make_segment: Callable[..., Segment], trained_version: Version) -> Segment:
    """A scored dump, as Suricata's reading of a capture would leave it: one look, twice."""
    from tests.labeling.conftest import eve_record

    segment = make_segment([eve_record(1), eve_record(2)])
    Segment.objects.filter(pk=segment.pk).update(kind=Kind.DUMP)
    Intake.objects.filter(pk=segment.intake_id).update(kind=Kind.DUMP)
    scoring.score_waiting()
    segment.refresh_from_db()
    return segment


def told(dump: Segment, version: Version, analyst: User, answer: Answer = Answer.POSITIVE) -> DumpLabel:
    assert dump.intake is not None
    return dumps.label(Intake.objects.get(pk=dump.intake_id), version.detector, answer, analyst)


def ingest(path: Path, **options: Any) -> None:
    call_command("ingest", str(path), "--sensor", "lab", "--json", stdout=open("/dev/null", "w"), **options)  # noqa: SIM115


@needs_suricata
def test_from_a_capture_to_a_reference_row(capture: Path, trained_version: Version, analyst: User) -> None:
    detector = trained_version.detector
    ingest(capture, label="positive", detector=detector.name, analyst="ada")
    assert dumps.route_waiting() == 0  # no version has seen it
    scoring.score_waiting()
    assert dumps.route_waiting() == 3
    items = list(Item.objects.filter(queue__kind=Queue.Kind.DUMP).order_by("-sessions"))
    assert [item.sessions for item in items] == [2, 1]
    assert {label.source for label in Label.objects.all()} == {Source.DUMP}
    reference.grow()
    assert not ReferenceRow.objects.exists()

    expert = factories.make_user(Role.EXPERT)
    assert claims.claim(items[0], expert)
    labels.submit(items[0], expert, Answer.POSITIVE)
    reference.grow()
    row = ReferenceRow.objects.get()
    assert (row.answer, row.source) == (Answer.POSITIVE, "attack")
    assert set(row.labels.values_list("source", flat=True)) == {Source.DUMP, Source.EXPERT}


def test_whoever_labelled_the_dump_is_not_the_second_word(dump: Segment, trained_version: Version) -> None:
    grace = factories.make_user(Role.EXPERT)
    told(dump, trained_version, grace)
    dumps.route_waiting()
    item = Item.objects.get()
    assert not claims.claim(item, grace)
    assert labels.undo(grace) is None
    assert labels.answered_today(grace) == 0


def test_an_expert_who_sees_it_otherwise_makes_a_conflict(
    dump: Segment, trained_version: Version, analyst: User, expert: User
) -> None:
    told(dump, trained_version, analyst)
    dumps.route_waiting()
    item = Item.objects.get()
    assert claims.claim(item, expert)
    labels.submit(item, expert, Answer.NEGATIVE)
    item.refresh_from_db()
    assert item.state == ItemState.CONFLICT
    assert reference.grow() == 0


def test_a_dump_becomes_items_once(dump: Segment, trained_version: Version, analyst: User) -> None:
    told(dump, trained_version, analyst)
    assert dumps.route_waiting() == 2
    assert dumps.route_waiting() == 0
    assert told(dump, trained_version, analyst).collected_at is not None  # said again, nothing changes
    assert Label.objects.count() == Item.objects.count() == 1


def test_a_dump_is_no_traffic(dump: Segment, trained_version: Version) -> None:
    """It would bend what is counted, drawn at random and learnt as background."""
    assert ScoreFile.objects.filter(segment=dump).exists()
    assert routing.route_waiting() == 0
    assert not Item.objects.exists()
    assert boards.board(trained_version).sessions == 0
    assert not weak_rows(trained_version.detector).key


def test_the_other_answer_about_the_same_dump_is_refused(
    dump: Segment, trained_version: Version, analyst: User
) -> None:
    told(dump, trained_version, analyst)
    with pytest.raises(dumps.DumpLabelRefused, match=r"ada called .* positive"):
        told(dump, trained_version, analyst, Answer.NEGATIVE)


def test_a_damaged_score_file_holds_up_no_other_dump(dump: Segment, trained_version: Version, analyst: User) -> None:
    told(dump, trained_version, analyst)
    ScoreFile.objects.update(path="scores/gone.parquet")
    assert dumps.route_waiting() == 0
    assert DumpLabel.objects.uncollected().exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "positive"}, "belong together"),
        ({"label": "positive", "detector": "none", "analyst": "ada"}, "no detector 'none'; there are: "),
        ({"label": "positive", "detector": None, "analyst": "nobody"}, "'nobody' may not label a dump"),
        ({"label": "positive", "detector": None, "analyst": "sue"}, "'sue' may not label a dump"),
    ],
)
def test_a_label_that_nobody_can_mean_is_refused_before_anything_is_read(
    capture: Path, analyst: User, options: dict[str, Any], message: str
) -> None:
    factories.make_user(Role.SUPPORT, username="sue")
    detector = factories.make_detector()
    if "detector" in options:
        options = options | {"detector": options["detector"] or detector.name}
    with pytest.raises(CommandError, match=message):
        ingest(capture, **options)
    assert not Intake.objects.exists()


def test_sessions_of_a_log_are_not_labelled_as_a_whole(tmp_path: Path, analyst: User) -> None:
    detector = factories.make_detector()
    log = tmp_path / "eve.json"
    log.write_bytes(b'{"event_type":"stats"}\n')
    with pytest.raises(CommandError, match="--label is for captures"):
        ingest(log, label="positive", detector=detector.name, analyst="ada")
    ingest_paths([log])
    with pytest.raises(dumps.DumpLabelRefused, match="is no saved capture"):
        dumps.label(Intake.objects.get(), detector, Answer.POSITIVE, analyst)
