"""`manage.py retention` and its ticks: files go by age and size, counts and items stay."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from detection.tables import SCORE_SCHEMA
from models_registry.models import IndicatorMatch, ScoreFile, Version
from models_registry.services import boards, indicators, scoring
from models_registry.services import retention as scores
from tests import factories
from tests.detection import eve
from traffic import storage
from traffic.models import Kind, LateHit, OutsideHit, Segment
from traffic.services import retention, segments
from traffic.services.ingest import ingest_paths

pytestmark = pytest.mark.django_db
POLICY = replace(retention.POLICY, free_share=0.0)  # whatever this machine's disk holds


@pytest.fixture(autouse=True)
def enough_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "POLICY", POLICY)


@pytest.fixture
def traffic(tmp_path: Path) -> Callable[[float], Segment]:
    """Take three sessions in that many days ago."""

    def made(days: float) -> Segment:
        path = tmp_path / f"{Segment.objects.count()}.json"
        path.write_bytes(
            b"".join(orjson.dumps(eve.http(number, http={"hostname": str(days)})) + b"\n" for number in range(3))
        )
        ingest_paths([path])
        segment = Segment.objects.sealed().latest("pk")
        Segment.objects.filter(pk=segment.pk).update(created_at=timezone.now() - timedelta(days=days))
        segment.refresh_from_db()
        return segment

    return made


def told(*words: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("retention", "--json", *words, stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def test_raw_lines_and_sessions_go_by_age(traffic: Callable[[float], Segment]) -> None:
    old, middle, new = traffic(100), traffic(40), traffic(1)
    paths = [(one.raw_path, one.sessions_path) for one in (old, middle, new)]
    assert (told()["raw"], told()["raw"]) == (2, 0)
    exists = [(storage.exists(raw), storage.exists(sessions)) for raw, sessions in paths]
    assert exists == [(False, False), (False, True), (True, True)]
    assert list(Segment.objects.sealed().order_by("pk")) == [middle, new]
    assert Segment.objects.count() == 3


def test_a_dry_run_says_the_same_and_deletes_nothing(traffic: Callable[[float], Segment]) -> None:
    old = traffic(100)
    dry = told("--dry-run")
    assert (dry["raw"], dry["sessions"], dry["dry_run"]) == (1, 1, True)
    assert storage.exists(old.raw_path) and Segment.objects.sealed().exists()
    assert told() | {"dry_run": True} == dry


def test_a_raw_line_that_is_gone_says_so(traffic: Callable[[float], Segment], client: Any, expert: Any) -> None:
    segment = traffic(40)
    retention.apply(POLICY)
    for one in (segment, Segment.objects.get()):  # read before and after it went
        assert segments.raw_lines(one, [0, 2]) == [b"raw line deleted after 40 days"] * 2
    assert len(segments.read_rows(segment, [0, 1, 2])) == 3
    client.force_login(expert)
    assert "raw lines deleted after 40 days" in client.get(reverse("traffic:intakes")).text


def test_a_missing_file_that_nobody_deleted_is_an_error(traffic: Callable[[float], Segment]) -> None:
    segment = traffic(1)
    storage.delete(segment.raw_path)
    with pytest.raises(FileNotFoundError):
        segments.raw_line(segment, 0)


def test_over_budget_the_oldest_raw_lines_go(traffic: Callable[[float], Segment], settings: Any) -> None:
    older, newer = traffic(5), traffic(3)
    used = told("--dry-run")["used"]
    settings.ETALON_TRAFFIC_BYTES = used - 1
    assert (told()["raw"], storage.exists(older.raw_path), storage.exists(newer.raw_path)) == (1, False, True)
    settings.ETALON_TRAFFIC_BYTES = 1
    found = told()
    assert (found["raw"], found["sessions"], found["short"]) == (1, 2, 0)


def test_what_came_today_stays_even_without_room(traffic: Callable[[float], Segment], settings: Any) -> None:
    segment = traffic(0)
    settings.ETALON_TRAFFIC_BYTES = 1
    assert told()["short"] > 0
    assert storage.exists(segment.raw_path)


def test_a_full_disk_is_made_room_on(traffic: Callable[[float], Segment], monkeypatch: pytest.MonkeyPatch) -> None:
    segment = traffic(5)
    monkeypatch.setattr(retention.shutil, "disk_usage", lambda path: type("Disk", (), {"free": 5, "total": 100})())
    decided, _room = retention.apply(replace(POLICY, free_share=0.10))
    assert decided.raw == (segment.pk,)


def test_saved_dumps_are_kept(traffic: Callable[[float], Segment]) -> None:
    traffic(1000)
    Segment.objects.update(kind=Kind.DUMP)
    assert (told()["raw"], Segment.objects.sealed().count()) == (0, 1)


def test_a_killed_run_is_finished_by_the_next(
    traffic: Callable[[float], Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = traffic(100)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(storage, "delete", _killed)
        retention.apply(POLICY)
    assert storage.exists(segment.sessions_path)
    assert not Segment.objects.sealed().exists()  # nobody may use it from then on
    retention.apply(POLICY)
    assert not storage.exists(segment.sessions_path) and not storage.exists(segment.raw_path)
    assert Segment.objects.get().sessions_path == ""


def _killed(path: str) -> None:
    raise KeyboardInterrupt


def scored(version: Version, segment: Segment) -> str:
    """Store what a version said: all quiet. Return the path."""
    rids = segments.read_sessions(segment, columns=["rid", "src_ip"])
    zeros = [0] * segment.rows
    table = pa.table(
        {"rid": rids["rid"], "raw": [-4.0] * segment.rows, "verdict": [False] * segment.rows, "rules": zeros}
        | {"cell": zeros, "src_ip": rids["src_ip"].cast(pa.string())}
    ).cast(SCORE_SCHEMA)
    file = factories.make_score_file(version=version, segment=segment, rows=segment.rows, quiet=segment.rows)
    storage.put_table(file.path, table)
    return file.path


def test_board_counts_outlive_scores(traffic: Callable[[float], Segment]) -> None:
    version = factories.make_version()
    old, new = traffic(200), traffic(1)
    path, _kept = scored(version, old), scored(version, new)
    before = boards.board(version)
    assert scores.discard_scores() == 0  # its sessions are here
    retention.apply(POLICY)
    assert [scores.discard_scores() for _ in range(2)] == [1, 0]
    assert not storage.exists(path)
    after = boards.board(version)
    assert after.sessions == before.sessions == 6
    assert sum(bar.total for bar in boards.histogram(version)) == 3
    assert boards.compare(version, version).sessions == 3
    assert not ScoreFile.objects.unrouted().filter(segment=old).exists()
    assert ScoreFile.objects.get(segment=new).path
    assert not list(scoring._waiting(version))


def test_hits_beside_sessions_go_after_them(traffic: Callable[[float], Segment]) -> None:
    old, new = traffic(200), traffic(1)
    long_ago = timezone.now() - timedelta(days=40)
    for number, (segment, at) in enumerate([(old, long_ago), (new, long_ago), (old, timezone.now())]):
        LateHit.objects.create(segment=segment, row=number, mark="m", value="{}", created_at=at)
    for number, days in enumerate([100, 50]):
        at = timezone.now() - timedelta(days=days)
        told = {"session_key": f"core-1|{number}|0|1", "sensor": "core-1", "flow_id": number, "start": 1}
        OutsideHit.objects.create(system="waf", rule_id="1", at=at, received_at=at, **told)
    assert told_of_hits("--dry-run") == 1  # whose sessions are here still
    assert LateHit.objects.count() == 3
    assert told_of_hits() == 2  # the sessions go in this very run
    assert sorted(LateHit.objects.values_list("row", flat=True)) == [1, 2]
    assert [hit.flow_id for hit in OutsideHit.objects.all()] == [1]
    assert told_of_hits() == 0


def told_of_hits(*words: str) -> int:
    count: int = told(*words)["hits"]
    return count


def test_indicator_matches_go_with_their_sessions(traffic: Callable[[float], Segment]) -> None:
    traffic(200)
    indicators.import_list("bad", "domain", b"evil.example\n")
    indicators.match_waiting()
    retention.apply(POLICY)
    scores.discard_scores()
    assert not IndicatorMatch.objects.exists()
    assert indicators.match_waiting() == 0
