"""traffic:replay-quarantine and `manage.py replay`: what today's reader can read is stored once, the rest stays."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from accounts.models import AuditEntry
from detection.sources import suricata_reader
from detection.sources.values import BadRecordError
from jobs.models import Job
from tests.detection import eve
from tests.traffic.test_ingest_zeek import http as zeek_http
from tests.traffic.test_ingest_zeek import text_log
from traffic import storage
from traffic.models import Intake, Segment
from traffic.services import ingest, late_hits, quarantine, replays, segments
from traffic.services.replays import replay

pytestmark = pytest.mark.django_db


@pytest.fixture
def old_reader(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A reader that does not know flow 7 yet; call to make it today's."""
    honest = suricata_reader.told_by

    def told_by(line: bytes) -> Any:
        if b'"flow_id":7,' in line:
            raise BadRecordError("an odd flow")
        return honest(line)

    monkeypatch.setattr(suricata_reader, "told_by", told_by)
    return lambda: monkeypatch.setattr(suricata_reader, "told_by", honest)


def take(tmp_path: Path, *records: Any) -> Intake:
    log = tmp_path / f"office{Intake.objects.count()}.json"
    log.write_bytes(eve.log(records))
    (result,) = ingest.ingest_paths([log], "core-1")
    return Intake.objects.select_related("sensor").get(pk=result.intake)


@pytest.fixture
def intake(tmp_path: Path, old_reader: Callable[[], None]) -> Intake:
    torn = eve.line(eve.http(5))[:-9]
    taken = take(tmp_path, eve.http(1), eve.alert(1), b"{[", eve.http(7, 0), torn, eve.http(7, 1, 2), eve.http(1))
    old_reader()
    return taken


def test_what_can_be_read_today_is_stored_and_the_rest_stays_with_its_reasons(intake: Intake) -> None:
    assert intake.rejected == 5
    done = replay(intake)
    assert (done.read, done.left, done.sessions) == (2, 3, 2)
    stored = Intake.objects.get(pk=done.intake)
    assert (stored.replay_of, stored.http, stored.lines, stored.rejected, stored.path) == (intake, 2, 2, 0, intake.path)
    (segment,) = Segment.objects.sealed().filter(intake=stored)
    rows = segments.read_rows(segment, [0, 1])
    assert [(row["flow_id"], row["tx_id"]) for row in rows] == [(7, 0), (7, 1)]
    first = Segment.objects.get(intake=intake)
    assert (segment.source, segment.sensor, segment.rule_set) == (first.source, first.sensor, first.rule_set)
    intake.refresh_from_db()
    assert intake.rejected == 3
    assert intake.reject_reasons == {"broken or torn JSON": 2, "the same line twice": 1}
    assert [(one.line, one.reason) for one in quarantine.records(intake)] == [
        (3, "broken or torn JSON"),
        (5, "broken or torn JSON"),
        (7, "the same line twice"),
    ]
    assert b"".join(quarantine.received(intake)).count(b"\n") == 3


def test_replaying_again_stores_nothing(intake: Intake) -> None:
    replay(intake)
    again = replay(Intake.objects.get(pk=intake.pk))
    assert (again.read, again.left, again.intake) == (0, 3, None)
    assert Intake.objects.count() == 2


def test_a_line_that_came_twice_is_never_a_second_session(tmp_path: Path) -> None:
    intake = take(tmp_path, eve.http(1), eve.http(1))
    assert replay(intake) == replays.Replay(intake.pk, 0, 1)
    assert sum(Segment.objects.values_list("rows", flat=True)) == 1


def test_two_at_once_store_once(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Intake.objects.select_related("sensor").get(pk=intake.pk)
    honest = replays._rest

    def another_is_faster(*args: Any) -> Any:
        monkeypatch.setattr(replays, "_rest", honest)
        assert replay(other).read == 2
        return iter(()), {}

    monkeypatch.setattr(replays, "_rest", another_is_faster)
    done = replay(intake)
    assert (done.read, done.left) == (0, 3)
    assert sum(Segment.objects.sealed().values_list("rows", flat=True)) == 3
    assert not Segment.objects.filter(sealed_at=None).exists()
    assert len(quarantine.records(Intake.objects.get(pk=intake.pk))) == 3


def test_a_kill_before_the_end_changes_nothing(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*args: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(replays, "put_packed", killed)
        with pytest.raises(Killed):
            replay(intake)
    assert Intake.objects.count() == 1
    assert len(quarantine.records(Intake.objects.get())) == 5
    assert replay(Intake.objects.select_related("sensor").get()).read == 2


def test_an_empty_quarantine_is_gone(tmp_path: Path, old_reader: Callable[[], None]) -> None:
    intake = take(tmp_path, eve.http(1), eve.http(7))
    path = intake.quarantine_path
    old_reader()
    assert replay(intake).left == 0
    intake.refresh_from_db()
    assert (intake.quarantine_path, intake.rejected) == ("", 0)
    assert not storage.exists(path)


def test_hits_that_were_set_aside_find_their_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(suricata_reader, "hit_told_by", lambda line: (_ for _ in ()).throw(BadRecordError("odd")))
        intake = take(tmp_path, eve.http(1), eve.alert(1, sid=7))
    assert replay(intake).rule_hits == 1
    assert late_hits.collect() == 1
    (row,) = segments.read_rows(Segment.objects.get(), [0])
    assert [hit["sid"] for hit in row["hits"]] == [7]


def test_odd_first_lines_do_not_mislead_the_reader(tmp_path: Path, old_reader: Callable[[], None]) -> None:
    for odd in (b'[{"event_type":"http"', b"\x1f\x8b\x08 no gzip", b"\xef\xbb\xbf{", b"#fields\tts"):
        old = take(
            tmp_path, eve.http(1, second=Intake.objects.count()), odd, eve.http(7, second=Intake.objects.count())
        )
        assert old.rejected == 2, odd
    old_reader()
    assert [replay(one).read for one in Intake.objects.select_related("sensor").order_by("pk")] == [1, 1, 1, 1]


def test_lines_of_a_zeek_log_are_read_under_their_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from detection.sources.zeek_reader import ZeekReader

    records = [zeek_http("C1"), zeek_http("C2"), zeek_http("C3", ts="never"), zeek_http("C4")]
    log = tmp_path / "http.log"
    log.write_bytes(text_log("http", records))
    honest = ZeekReader._take

    def old(self: Any, kind: str, values: Any, line: bytes) -> None:
        if b"C2" in line or b"C4" in line:
            raise BadRecordError("odd")
        honest(self, kind, values, line)

    with monkeypatch.context() as patch:
        patch.setattr(ZeekReader, "_take", old)
        ingest.ingest_paths([log], "core-1")
    intake = Intake.objects.select_related("sensor").get()
    assert intake.rejected == 3
    done = replay(intake)
    assert (done.read, done.left, done.sessions) == (2, 1, 2)
    intake.refresh_from_db()
    left = b"".join(quarantine.received(intake))
    assert left.startswith(b"#separator")  # what stays is a log that can be mended
    assert left.count(b"\n#fields") == 1
    assert b"C3" in left and b"C2" not in left


def test_a_file_that_was_refused_whole_is_taken_in_again_instead(tmp_path: Path, engineer_client: Any) -> None:
    intake = take(tmp_path, b"no log at all")
    assert not replays.may_be_replayed(intake)
    assert replay(intake).read == 0
    answer = engineer_client.post(reverse("traffic:replay-quarantine", args=[intake.pk]))
    assert answer.status_code == 409
    assert "Replay</button>" not in engineer_client.get(reverse("traffic:quarantine", args=[intake.pk])).text


# by page


def test_an_engineer_replays_by_a_button(intake: Intake, engineer_client: Any, run_jobs: Any) -> None:
    page = engineer_client.get(reverse("traffic:quarantine", args=[intake.pk])).text
    assert "Replay</button>" in page
    answer = engineer_client.post(reverse("traffic:replay-quarantine", args=[intake.pk]))
    job = Job.objects.get()
    assert (answer.status_code, answer.headers["Location"]) == (302, reverse("jobs:job", args=[job.pk]))
    assert run_jobs() == 1
    job.refresh_from_db()
    assert (job.state, job.result["replay"]["read"]) == ("done", 2)
    entry = AuditEntry.objects.get(action="quarantine.replayed")
    assert (entry.actor, entry.details) == (job.created_by, {"log": intake.pk})
    page = engineer_client.get(reverse("traffic:quarantine", args=[intake.pk])).text
    assert "2 lines were read" in page
    assert f"replay of log {intake.pk}" in engineer_client.get(reverse("traffic:intakes")).text


def test_pressing_it_twice_is_one_job(intake: Intake, engineer_client: Any, run_jobs: Any) -> None:
    for _ in range(2):
        engineer_client.post(reverse("traffic:replay-quarantine", args=[intake.pk]))
    assert Job.objects.count() == 1
    assert run_jobs() == 1


def test_readers_see_no_button(intake: Intake, auditor_client: Any) -> None:
    assert "Replay</button>" not in auditor_client.get(reverse("traffic:quarantine", args=[intake.pk])).text


# by command


def run(*arguments: Any) -> str:
    out = io.StringIO()
    call_command("replay", *map(str, arguments), stdout=out)
    return out.getvalue()


def test_the_command_replays_all_or_some(intake: Intake) -> None:
    (told,) = json.loads(run(intake.pk, "--json"))["logs"]
    assert (told["log"], told["read"], told["left"]) == (intake.pk, 2, 3)
    assert run() == f"{intake.pk} {intake.path}: 0 lines read, 3 left\n"
    assert AuditEntry.objects.filter(action="quarantine.replayed", actor=None).count() == 2


def test_the_command_names_what_it_does_not_know(intake: Intake) -> None:
    with pytest.raises(CommandError, match="no quarantine: 999"):
        run(intake.pk, 999)
