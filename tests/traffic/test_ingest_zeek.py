"""`manage.py ingest FOLDER` with Zeek logs, alone and among others: read as file sets, each file once."""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from detection.sources.zeek import flow_id_of
from tests.detection import eve
from tests.detection.zeek_logs import conn, http, json_log, ssl, text_log, x509
from traffic.models import Intake, Segment
from traffic.services import ingest, quarantine, rule_sets, segments

pytestmark = pytest.mark.django_db
RULES = b'alert http any any -> any any (msg:"ET WEB_SERVER a"; classtype:web-application-attack; sid:1;)\n'


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def rows() -> list[dict[str, Any]]:
    """Return all sessions, with the source of their segment."""
    found = []
    for segment in Segment.objects.sealed():
        told = segments.read_rows(segment, range(segment.rows))
        assert {row["protocol"] for row in told} == {segment.protocol}
        found += [row | {"source": segment.source, "rule_set": segment.rule_set} for row in told]
    return found


def test_a_mixed_folder_is_taken_in_as_what_each_file_is(tmp_path: Path) -> None:
    write(tmp_path / "eve.json", eve.log([eve.http(1), eve.tls(2)]))
    write(tmp_path / "notes.txt", b"no log\n")
    day = tmp_path / "2026-03-01"
    write(day / "http.12:00:00-13:00:00.log.gz", text_log("http", [http("C1")]))
    write(day / "conn.12:00:00-13:00:00.log.gz", text_log("conn", [conn("C1"), conn("S1") | {"id.resp_p": 443}]))
    write(day / "ssl.12:00:00-13:00:00.log.gz", text_log("ssl", [ssl("S1")]))
    write(day / "x509.12:00:00-13:00:00.log.gz", text_log("x509", [x509()]))
    write(day / "dns.12:00:00-13:00:00.log.gz", text_log("dns", [{"ts": 1.0, "uid": "D"}] * 4))
    write(day / "http.13:00:00-14:00:00.log.gz", text_log("http", [http("C1", second=3600)]))
    results = {Path(one.path).name.partition(".")[0]: one for one in ingest.ingest_paths([tmp_path])}
    assert len(Intake.objects.all()) == 8
    assert results["conn"].other == {"conn": 2}
    assert results["dns"].other == {"dns": 4}
    assert results["notes"].rejected == 1
    assert sum(one.rejected for one in results.values()) == 1
    found = {(row["source"], row["protocol"], row["start"]): row for row in rows()}
    assert len(found) == 5
    zeek = sorted((row for row in found.values() if row["uid"]), key=lambda row: row["start"])
    assert [(row["uid"], row["source"], row["bytes_to_server"]) for row in zeek] == [
        ("C1", "2026-03-01", 700),
        ("S1", "2026-03-01", 700),
        ("C1", "2026-03-01", None),  # the connection of another hour: uids repeat
    ]
    assert zeek[1]["cert_serial"] == "96DF"


def test_the_same_folder_again_adds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    write(folder / "http.log", text_log("http", [http("C1")]))
    write(folder / "conn.log", text_log("conn", [conn("C1")]))
    ingest.ingest_paths([folder])
    again = ingest.ingest_paths([folder])
    assert [one.duplicate for one in again] == [True, True]
    assert len(rows()) == 1


def test_a_companion_known_before_is_read_again_for_new_sessions(tmp_path: Path) -> None:
    write(tmp_path / "conn.log", text_log("conn", [conn("C1"), conn("S1") | {"id.resp_p": 443}]))
    write(tmp_path / "http.log", text_log("http", [http("C1")]))
    ingest.ingest_paths([tmp_path])
    write(tmp_path / "ssl.log", text_log("ssl", [ssl("S1")]))
    results = {Path(one.path).name: one for one in ingest.ingest_paths([tmp_path])}
    assert (results["conn.log"].duplicate, results["http.log"].duplicate, results["ssl.log"].tls) == (True, True, 1)
    assert {row["bytes_to_client"] for row in rows()} == {9000}


def test_a_companion_that_comes_later_is_said_so(tmp_path: Path) -> None:
    write(tmp_path / "http.log", text_log("http", [http("C1")]))
    ingest.ingest_paths([tmp_path])
    write(tmp_path / "conn.log", text_log("conn", [conn("C1")]))
    out = io.StringIO()
    call_command("ingest", tmp_path, stdout=out)
    assert "taken in after http.log, whose sessions are stored without what it tells" in out.getvalue()
    (row,) = rows()
    assert row["bytes_to_server"] is None


def test_no_rules_inspected_what_zeek_tells(tmp_path: Path) -> None:
    rules = rule_sets.add_rule_set(write(tmp_path / "rules", RULES))
    log = write(tmp_path / "logs" / "http.log", text_log("http", [http("C1")]))
    (result,) = ingest.ingest_paths([log], "core", rules)
    assert result.inspected is False
    assert [row["rule_set"] for row in rows()] == [None]


def test_rejected_lines_are_a_log_to_mend_and_take_in_again(tmp_path: Path) -> None:
    records = [http("C1"), http("C2", ts="never"), http("C3", ts="never")]
    ingest.ingest_paths([write(tmp_path / "http.log", text_log("http", records))])
    intake = Intake.objects.get()
    assert (intake.lines, intake.http, intake.rejected) == (3, 1, 2)
    shown = quarantine.records(intake)
    assert [one.reason for one in shown] == ["ts is no time, expected seconds since 1970 or ISO 8601"] * 2
    mended = b"".join(quarantine.received(intake)).replace(b"never", b"7.5")
    (result,) = ingest.ingest_paths([write(tmp_path / "mended" / "http.log", mended)])
    assert (result.http, result.rejected) == (2, 0)


def test_names_of_sources(tmp_path: Path) -> None:
    write(tmp_path / "lab" / "A_http.log", text_log("http", [http("C1")]))
    write(tmp_path / "lab" / "B_http_20260301.log.gz", text_log("http", [http("C1")]))
    write(tmp_path / "lab" / "http.2026-03-01-00-00-00-01-00-00.log", text_log("http", [http("C1", 2)]))
    write(tmp_path / "lab" / "all.json", json_log([http("C1", 3)]))
    ingest.ingest_paths([tmp_path])
    assert Counter(Segment.objects.values_list("source", flat=True)) == {"lab A": 1, "lab B": 1, "lab": 1, "all": 1}


def test_flow_numbers_come_from_uids(tmp_path: Path) -> None:
    ingest.ingest_paths([write(tmp_path / "http.log", text_log("http", [http("C1")]))])
    (row,) = rows()
    assert row["flow_id"] == flow_id_of("C1")
    assert segments.raw_line(Segment.objects.get(), 0) in text_log("http", [http("C1")])


# --- real logs, in one go, against an independent counter


def records_of(path: Path) -> tuple[list[str], Counter[str]]:
    """Return the lines of a file that are no comments, and how many there are of each kind; plain reading, no trick."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    lines = [line for line in text.split("\n") if line and not line.lstrip().startswith("#")]
    if text.startswith(("{", "[")):
        told = json.loads(text) if text.startswith("[") else [json.loads(line) for line in lines]
        kinds = Counter(one.get("event_type") or one.get("_path") or one.get("@stream") or "?" for one in told)
        if set(kinds) == {"?"}:
            kinds = Counter({path.name.partition(".")[0]: len(lines)})
        return lines, kinds
    paths = [line.split("\t")[1] for line in text.split("\n") if line.startswith("#path")]
    return lines, Counter({paths[0]: len(lines)}) if paths else Counter()


@pytest.mark.slow
def test_all_real_logs_in_one_go(shared_data: Path) -> None:
    results = {Path(one.path): one for one in ingest.ingest_paths([shared_data / "eve", shared_data / "zeek"])}
    stored: Counter[str] = Counter()
    for path, result in results.items():
        lines, kinds = records_of(path)
        if "btest-baselines" in path.parts:  # times are masked; some tests of Zeek end in the same bytes
            masked = sum(line.startswith("XXXXXXXXXX.XXXXXX\t") for line in lines)
            if set(kinds) & {"http", "ssl", "conn"} and not result.duplicate:
                assert result.rejected == masked, path
                assert result.sessions + sum(result.other.values()) == len(lines) - masked, path
            continue
        if not kinds:
            assert (result.sessions, result.rejected) == (0, 1), path
            continue
        twice = len(lines) - len(set(lines)) if "ssl" in kinds else 0
        assert result.http == kinds["http"], path
        assert result.tls == kinds["ssl"] + kinds["tls"] - twice, path
        assert result.rejected == twice, path
        stored["http"] += result.http
        stored["tls"] += result.tls
    for protocol, count in stored.items():
        found = Segment.objects.sealed().filter(protocol=protocol).exclude(intake__path__contains="btest")
        assert sum(found.values_list("rows", flat=True)) == count
    assert not Segment.objects.filter(intake__path__contains="/zeek/", rule_set__isnull=False).exists()
    assert all(one.duplicate for one in ingest.ingest_paths([shared_data / "zeek"]) if not one.reasons)
