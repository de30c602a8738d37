"""`manage.py ingest`: files become sealed segments once, whatever happens on the way."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from detection import tables
from detection.sources.lines import TooMuchUnpackedError
from tests.detection import eve
from traffic import storage
from traffic.models import Intake, Segment
from traffic.services import ingest, quarantine, rule_sets, runs, segments

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


def ingest_json(*arguments: Any) -> dict[str, Any]:
    out = io.StringIO()
    call_command("ingest", *map(str, arguments), "--json", stdout=out)
    return json.loads(out.getvalue())


def write_log(path: Path, records: Any, *, zipped: bool = False) -> Path:
    data = eve.log(records)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if zipped else data)
    return path


def test_a_log_becomes_a_sealed_segment(tmp_path: Path) -> None:
    records = [eve.http(1), eve.alert(1), eve.http(2, second=5), eve.flow(1), eve.alert(9)]
    log = write_log(tmp_path / "office.eve.json", [*records, b"{torn"])
    report = ingest_json(log, "--sensor", "core-1")
    (told,) = report["files"]
    assert told.pop("seconds") >= 0
    assert told == {
        "path": str(log),
        "intake": Intake.objects.get().pk,
        "sessions": 2,
        "http": 2,
        "tls": 0,
        "rule_hits": 2,
        "rejected": 1,
        "duplicate": False,
        "orphan_hits": 1,
        "inspected": True,
        "reasons": {"broken or torn JSON": 1},
        "other": {},
        "note": "",
    }
    assert (report["sessions"], report["rejected"]) == (2, 1)
    segment = Segment.objects.sealed().get()
    assert (segment.source, segment.sensor.name, segment.rows, segment.protocol) == ("office", "core-1", 2, "http")
    assert segment.first_at.isoformat() == "2026-03-01T12:00:00+00:00"
    assert segment.last_at.isoformat() == "2026-03-01T12:00:05+00:00"
    intake = segment.intake
    assert (intake.lines, intake.http, intake.rule_hits, intake.orphan_hits, intake.rejected) == (6, 2, 2, 1, 1)


def test_rows_and_raw_lines_are_found_again(tmp_path: Path) -> None:
    records = [eve.http(number, second=number) for number in range(4_500)]
    ingest.ingest_paths([write_log(tmp_path / "a.json", [*records, eve.alert(4_321)])])
    segment = Segment.objects.sealed().get()
    table = segments.read_sessions(segment)
    assert table.schema.equals(tables.SESSION_SCHEMA)
    assert table.column("rid").to_pylist() == [segment.pk << 32 | row for row in range(4_500)]
    assert segments.read_sessions(segment, ["host"]).column_names == ["rid", "host"]
    last, first = segments.read_rows(segment, [4_321, 0])
    assert (last["flow_id"], first["flow_id"]) == (4_321, 0)
    assert last["start"] - first["start"] == 4_321_000_000
    assert [hit["sid"] for hit in last["hits"]] == [2001]
    assert segments.raw_line(segment, 4_321) == eve.line(records[4_321])
    wanted = [4_321, 0, 2_000, 1_999, 0]
    assert segments.raw_lines(segment, wanted) == [eve.line(records[row]) for row in wanted]


def test_a_segment_from_before_a_column_was_added_is_read_with_nulls(tmp_path: Path) -> None:
    ingest.ingest_paths([write_log(tmp_path / "a.json", [eve.http(1), eve.http(2)])])
    segment = Segment.objects.sealed().get()
    stored = storage.get_table(segment.sessions_path)
    storage.put_table(segment.sessions_path, stored.drop_columns(["ja3", "cert_not_after"]))
    assert segments.read_sessions(segment).schema.equals(tables.SESSION_SCHEMA)
    (row, _) = segments.read_rows(segment, [1, 0])
    assert (row["flow_id"], row["ja3"], row["cert_not_after"]) == (2, None, None)
    assert segments.read_sessions(segment, ["ja3", "host"]).to_pylist()[0] == {
        "rid": segment.pk << 32, "ja3": None, "host": "shop.example"
    }  # fmt: skip


def test_the_files_are_written_as_designed(tmp_path: Path) -> None:
    ingest.ingest_paths([write_log(tmp_path / "a.json", [eve.http(number) for number in range(4_500)])])
    segment = Segment.objects.sealed().get()
    raw = pq.ParquetFile(storage.local_path(segment.raw_path)).metadata
    assert [raw.row_group(group).num_rows for group in range(raw.num_row_groups)] == [2_000, 2_000, 500]
    line = raw.row_group(0).column(0)
    assert (line.compression, line.statistics, line.has_dictionary_page) == ("ZSTD", None, False)
    sessions = pq.ParquetFile(storage.local_path(segment.sessions_path)).metadata
    columns = {c.path_in_schema: c for c in map(sessions.row_group(0).column, range(sessions.num_columns))}
    assert "DELTA_BINARY_PACKED" in columns["rid"].encodings
    assert columns["host"].has_dictionary_page
    assert columns["hits.list.element.sid"].compression == "ZSTD"


def test_the_digest_of_a_segment_is_that_of_its_file(tmp_path: Path) -> None:
    ingest.ingest_paths([write_log(tmp_path / "a.json", [eve.http()])])
    segment = Segment.objects.get()
    assert segment.digest == hashlib.sha256(storage.get_bytes(segment.sessions_path)).hexdigest()


def test_segments_close_at_fifty_thousand_rows(tmp_path: Path) -> None:
    line = eve.line(eve.http(987_654_321))
    log = tmp_path / "long.json"
    log.write_bytes(b"".join(line.replace(b"987654321", b"%d" % number) + b"\n" for number in range(60_000)))
    (told,) = ingest.ingest_paths([log])
    assert told.sessions == 60_000
    assert list(Segment.objects.sealed().values_list("rows", flat=True)) == [50_000, 10_000]


def test_the_same_bytes_are_taken_in_once(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.json", [eve.http(), b"torn"])
    other = write_log(tmp_path / "another-name.json", [eve.http(), b"torn"])
    assert ingest_json(log)["sessions"] == 1
    again = ingest_json(log, other)
    assert [told["duplicate"] for told in again["files"]] == [True, True]
    assert [told["sessions"] for told in again["files"]] == [0, 0]
    assert (again["sessions"], again["rejected"]) == (0, 0)
    assert (Intake.objects.count(), Segment.objects.count()) == (1, 1)
    assert len(stored("segments")) == 2  # sessions and raw lines of the one segment, nothing left over


def test_other_bytes_under_a_known_name_are_taken_in(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.json", [eve.http(1)])
    ingest_json(log)
    write_log(log, [eve.http(1), eve.http(2)])
    assert ingest_json(log)["sessions"] == 2


def test_a_folder_is_searched_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    write_log(folder / "b.json", [eve.http(1)])
    write_log(folder / "deep" / "a.eve.json.gz", [eve.http(2)], zipped=True)
    write_log(folder / ".hidden.json", [eve.http(3)])
    write_log(folder / ".git" / "c.json", [eve.http(4)])
    (folder / "notes.txt").write_text("no log\n")
    os.mkfifo(folder / "pipe")
    report = ingest_json(folder)
    assert [Path(told["path"]).name for told in report["files"]] == ["b.json", "a.eve.json.gz", "notes.txt"]
    assert (report["sessions"], report["rejected"]) == (2, 1)
    assert set(Segment.objects.values_list("source", flat=True)) == {"a", "b"}


def test_what_is_no_log_is_refused_whole_and_only_its_quarantine_is_stored(tmp_path: Path) -> None:
    minutes = tmp_path / "minutes.json"
    minutes.write_text("said and agreed\n" * 50)
    report = ingest_json(minutes)
    (told,) = report["files"]
    assert (told["sessions"], told["rule_hits"], told["rejected"]) == (0, 0, 1)
    assert list(told["reasons"].values()) == [1]
    assert "no JSON" in next(iter(told["reasons"]))
    assert Segment.objects.count() == 0
    (record,) = quarantine.records(Intake.objects.get())
    assert record.reason == next(iter(told["reasons"]))
    assert record.text.startswith("said")
    assert ingest_json(minutes)["files"][0]["duplicate"]
    assert Intake.objects.count() == 1


def test_a_file_refused_earlier_is_tried_again(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.json", [eve.http()])
    sensor = rule_sets.sensor_named("default")
    digest = hashlib.sha256(log.read_bytes()).hexdigest()
    Intake.objects.create(digest=digest, path=str(log), sensor=sensor, rejected=1)  # by an older reader
    assert ingest_json(log)["sessions"] == 1
    assert Intake.objects.get().http == 1


def test_a_missing_path_stops_before_anything_is_read(tmp_path: Path) -> None:
    log = write_log(tmp_path / "a.json", [eve.http()])
    with pytest.raises(CommandError, match="no such file"):
        ingest_json(log, tmp_path / "nowhere")
    assert Intake.objects.count() == 0


def test_odd_file_names_are_taken(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.json"))
    write_log(path, [eve.http()])
    assert ingest_json(path)["sessions"] == 1
    assert Intake.objects.get().path.endswith("caf\ufffd.json")
    assert Segment.objects.get().source == "caf\ufffd"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("zeek.eve.json.gz", "zeek"),
        ("/data/office.json", "office"),
        ("eve.json", "eve"),
        ("slips-test6-suricata.eve.json.gz", "slips-test6-suricata"),
        (".json", ".json"),
        ("log", "log"),
        ("x" * 300 + ".json", "x" * 100),
    ],
)
def test_a_source_is_the_stem_of_the_file(name: str, source: str) -> None:
    assert ingest.source_of(name) == source


# --- which rules ran


def test_a_log_in_which_a_threat_rule_spoke_has_inferred_rules(tmp_path: Path) -> None:
    notice = eve.alert(2, sid=77, alert={"signature": "SURICATA HTTP too many warnings"})
    spoken = write_log(tmp_path / "spoken.json", [eve.http(1), eve.alert(1, sid=5), eve.alert(1, sid=4), notice])
    silent = write_log(tmp_path / "silent.json", [eve.http(2), notice])
    told = ingest.ingest_paths([spoken, silent])
    assert [one.inspected for one in told] == [True, False]
    rules = Segment.objects.get(source="spoken").rule_set
    assert rules is not None
    assert (rules.declared, rules.rules, rules.name) == (False, 2, "inferred from 2 rules seen")
    assert [rule["sid"] for rule in rule_sets.rule_index(rules)] == [4, 5]
    assert Segment.objects.get(source="silent").rule_set is None


def test_declared_rules_go_before_inferred_ones(tmp_path: Path) -> None:
    rules = tmp_path / "own.rules"
    rules.write_text('alert http any any -> any any (msg:"OWN one"; classtype:web-application-attack; sid:1;)\n')
    report = ingest_json(write_log(tmp_path / "a.json", [eve.http(), eve.alert()]), "--rules", rules)
    assert report["files"][0]["inspected"]
    rule_set = Segment.objects.get().rule_set
    assert rule_set is not None
    assert (rule_set.declared, rule_set.name) == (True, "own.rules")


def test_the_rules_of_a_sensor_make_silence_mean_something(tmp_path: Path) -> None:
    rules = tmp_path / "own.rules"
    rules.write_text('alert http any any -> any any (msg:"OWN one"; sid:1;)\n')
    call_command("rule_set", str(rules), "--sensor", "core-1", stdout=io.StringIO())
    report = ingest_json(write_log(tmp_path / "a.json", [eve.http()]), "--sensor", "core-1")
    assert report["files"][0]["inspected"]
    assert Segment.objects.get().rule_set.name == "own.rules"


# --- uploads


def test_an_upload_that_unfolds_too_far_leaves_nothing(tmp_path: Path) -> None:
    bomb = gzip.compress(eve.log([eve.http(1)]) + b"\n" * (64 << 20))
    sensor = rule_sets.sensor_named("default")
    with pytest.raises(TooMuchUnpackedError):
        ingest.ingest_stream(io.BytesIO(bomb), "bomb", sensor, policy=ingest.UPLOAD_POLICY)
    assert (Intake.objects.count(), Segment.objects.count(), stored("segments")) == (0, 0, [])


# --- death and company


def stored(folder: str) -> list[str]:
    return sorted(str(path) for path in storage.local_path(folder).rglob("*") if path.is_file())


class Dying(io.BytesIO):
    """A log whose disk fails behind the first sessions."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            raise OSError("disk on fire")
        return data


def test_a_failure_in_the_middle_leaves_nothing() -> None:
    sensor = rule_sets.sensor_named("default")
    small = ingest.ReaderPolicy(join_lines=100, join_seconds=0, chunk_rows=100)
    data = eve.log(eve.http(number) for number in range(3_000))
    with pytest.raises(OSError, match="fire"):
        ingest.ingest_stream(Dying(data), "a", sensor, policy=small)
    assert (Intake.objects.count(), Segment.objects.count(), stored("segments")) == (0, 0, [])


def test_leftovers_of_the_dead_are_discarded_and_work_of_the_living_is_not(tmp_path: Path) -> None:
    sensor = rule_sets.sensor_named("default")

    def leave(run: str) -> Segment:
        path = f"segments/{run}/0"
        storage.put_bytes(f"{path}.sessions.parquet", b"half")
        paths = {"sessions_path": f"{path}.sessions.parquet", "raw_path": f"{path}.raw.parquet"}
        return Segment.objects.create(sensor=sensor, source="a", rows=1, digest="", **paths)

    dead = leave("0" * 32)
    with runs.Run() as living:
        mine = leave(living.name)
        ingest.ingest_paths([write_log(tmp_path / "a.json", [eve.http()])])
        assert set(Segment.objects.filter(sealed_at=None)) == {mine}
        assert not storage.exists(dead.sessions_path)
        assert storage.exists(mine.sessions_path)
    assert runs.discard_leftovers() == 1
    assert Segment.objects.filter(sealed_at=None).count() == 0


def child_environment() -> dict[str, str]:
    """The environment in which another process sees the database and the store of this test."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        user, host = quote(database["USER"] or "", safe=""), quote(database["HOST"] or "", safe="")
        password = quote(database["PASSWORD"] or "", safe="")
        url = f"postgres://{user}:{password}@{host}:{database['PORT'] or ''}/{database['NAME']}"
    return os.environ | {"ETALON_DEVELOPMENT": "1", "DATABASE_URL": url, "ETALON_STORAGE": settings.ETALON_STORAGE}


def start_ingest(*paths: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "manage.py", "ingest", *map(str, paths), "--json"]
    return subprocess.Popen(command, cwd=ROOT, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.django_db(transaction=True)
def test_two_processes_that_take_in_the_same_file_store_it_once(tmp_path: Path) -> None:
    log = write_log(tmp_path / "same.json", [eve.http(number) for number in range(20_000)])
    with ThreadPoolExecutor() as pool:
        told = list(pool.map(lambda process: process.communicate(timeout=120), [start_ingest(log), start_ingest(log)]))
    for _, complaint in told:
        assert b"Traceback" not in complaint, complaint.decode()
    files = [json.loads(out)["files"][0] for out, _ in told]
    assert sorted((one["sessions"], one["duplicate"]) for one in files) == [(0, True), (20_000, False)]
    assert (Intake.objects.count(), Segment.objects.count()) == (1, 1)
    assert len(stored("segments")) == 2


@pytest.mark.django_db(transaction=True)
def test_a_kill_in_the_middle_is_repaired_by_the_next_run(tmp_path: Path) -> None:
    pipe = tmp_path / "slow.json"
    os.mkfifo(pipe)
    process = start_ingest(pipe)
    line = eve.line(eve.http(987_654_321))
    clock = [b"12:%02d:00" % minute for minute in range(60)]
    lines = [
        line.replace(b"987654321", b"%d" % number).replace(b"12:00:00", clock[number // 5_000]) + b"\n"
        for number in range(220_000)  # two join windows and the beginning of a third
    ]
    with pipe.open("wb") as slow:
        slow.write(b"".join(lines))
        slow.flush()
        deadline = time.monotonic() + 60
        while not Segment.objects.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    left = Segment.objects.count()
    assert left > 0
    assert Segment.objects.sealed().count() == 0
    pipe.unlink()
    pipe.write_bytes(b"".join(lines[:1000]))
    (told,) = ingest.ingest_paths([pipe])
    assert told.sessions == 1000
    assert list(Segment.objects.values_list("rows", flat=True)) == [1000]
    assert len(stored("segments")) == 2


# --- real traffic


def test_real_traffic_is_counted_as_plain_json_counts_it(shared_data: Path) -> None:
    folder = shared_data / "eve"
    report = ingest_json(folder)
    by_name = {Path(told["path"]).name: told for told in report["files"]}
    assert set(by_name) == {path.name for path in folder.iterdir()}
    total = 0
    for name, told in by_name.items():
        if name == "captures.csv":
            assert (told["sessions"], told["rejected"], len(told["reasons"])) == (0, 1, 1), name
            continue
        if not name.endswith(".eve.json.gz"):  # arrays of Suricata 4: hits without sessions
            alerts = len(json.loads((folder / name).read_bytes()))
            assert (told["sessions"], told["rejected"], told["reasons"]) == (0, 0, {}), name
            assert told["rule_hits"] == told["orphan_hits"] == alerts, name
            continue
        with gzip.open(folder / name) as lines:
            kinds = Counter(json.loads(line)["event_type"] for line in lines)
        assert (told["http"], told["tls"]) == (kinds["http"], kinds["tls"]), name
        assert (told["rule_hits"], told["rejected"]) == (kinds["alert"], 0), name
        for protocol in ("http", "tls"):
            stored = Segment.objects.filter(source=ingest.source_of(name), protocol=protocol)
            assert sum(one.rows for one in stored) == kinds[protocol]
            total += kinds[protocol]
    assert report["sessions"] == total
    assert report["rejected"] == 1  # the list of captures
    again = ingest_json(folder)
    assert (again["sessions"], again["rejected"]) == (0, 0)
    assert all(told["duplicate"] for told in again["files"])
    assert sum(Segment.objects.values_list("rows", flat=True)) == total
