"""Saved captures: recognised by their first bytes, read by the real Suricata, stored as dumps."""

from __future__ import annotations

import gzip
import shutil
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from detection.sources import captures
from tests.traffic.captures import conversation, pcap, pcapng
from traffic.models import Intake, Kind, Segment
from traffic.services import dumps, segments, suricata
from traffic.services.ingest import ingest_paths

pytestmark = pytest.mark.django_db
needs_suricata = pytest.mark.skipif(shutil.which("suricata") is None, reason="no suricata program on this machine")

FRAMES = conversation(["/search?id=1%27%20or%201=1--", "/news"])
RULE = (
    'alert http any any -> any any (msg:"ET TEST quote"; flow:established,to_server; http.uri.raw; content:"%27"; '
    "classtype:web-application-attack; sid:2000001; rev:1;)\n"
)


def _patched(data: bytes, place: int, value: str) -> bytes:
    new = bytes.fromhex(value)
    return data[:place] + new + data[place + len(new) :]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "attack.pcap"
    path.write_bytes(pcap(FRAMES))
    return path


@pytest.mark.parametrize("written", [pcap, pcapng], ids=lambda one: one.__name__)
def test_a_capture_is_known_by_its_first_bytes_plain_or_gzipped(tmp_path: Path, written: Any) -> None:
    for data in (written(FRAMES), gzip.compress(written(FRAMES))):
        path = tmp_path / "eve.json"
        path.write_bytes(data)
        assert dumps.is_capture(path)


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"event_type":"http"}\n', b"\x1f\x8b torn", gzip.compress(b"{}", mtime=0)]
)
def test_what_is_no_capture_is_none_whatever_its_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "attack.pcap"
    path.write_bytes(data)
    assert not dumps.is_capture(path)


@needs_suricata
@pytest.mark.parametrize("written", [pcap, pcapng], ids=lambda one: one.__name__)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_suricata_reads_the_sessions_of_a_capture(tmp_path: Path, written: Any, packed: bool) -> None:
    path = tmp_path / ("attack.cap.gz" if packed else "attack.cap")
    path.write_bytes(gzip.compress(written(FRAMES)) if packed else written(FRAMES))
    result = dumps.ingest(path, "lab")
    assert (result.http, result.rejected, result.inspected) == (2, 0, False)
    segment = Segment.objects.sealed().get()
    assert segment.kind == Kind.DUMP
    assert segment.source == "attack"
    assert segment.rule_set is None
    first, second = segments.read_rows(segment, [0, 1])
    assert (first["uri"], second["uri"]) == ("/search?id=1%27%20or%201=1--", "/news")
    assert (first["src_ip"], first["dst_ip"], first["status"]) == ("10.1.4.22", "192.0.2.8", 200)
    assert first["start"] == 1_772_366_400_005_000  # when the answer was acknowledged
    assert Path(first["capture"]).name == "attack.cap"


@needs_suricata
def test_rules_of_the_settings_speak_about_it(settings: Any, tmp_path: Path, capture: Path) -> None:
    rules = tmp_path / "lab.rules"
    rules.write_text(RULE)
    settings.ETALON_SURICATA_RULES = str(rules)
    result = dumps.ingest(capture, "lab")
    assert (result.rule_hits, result.inspected) == (1, True)
    segment = Segment.objects.sealed().get()
    assert segment.rule_set is not None and segment.rule_set.declared
    hit = segments.read_rows(segment, [0])[0]["hits"][0]
    assert (hit["sid"], hit["category"], hit["severity"]) == (2000001, "Web Application Attack", 1)
    assert not segments.read_rows(segment, [1])[0]["hits"]


@needs_suricata
def test_the_same_capture_twice_adds_nothing(capture: Path) -> None:
    first, second = dumps.ingest(capture, "lab"), dumps.ingest(capture, "lab")
    assert second.duplicate and second.intake == first.intake
    assert Segment.objects.count() == 1


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (pcap(FRAMES)[:10], "it breaks off in its header"),
        (pcap(FRAMES)[:24], "it holds no packet"),
        (pcap(FRAMES)[:60], "it breaks off in its first packet"),
        (_patched(pcap(FRAMES), 4, "0900"), "pcap of version 9.4, known is 2.4"),
        (_patched(pcap(FRAMES), 32, "ffffff7f"), "its first packet claims 2,147,483,647 bytes"),
        (pcapng(FRAMES)[:10], "it breaks off in its header"),
        (pcapng(FRAMES)[:28], "it holds no packet"),
        (pcapng(FRAMES)[:40], "it breaks off before its first packet"),
        (pcapng(FRAMES)[:28] + pcapng(FRAMES)[48:], "a packet stands before any interface"),
        (_patched(pcapng(FRAMES), 8, "00000000"), "its header names no byte order"),
        (_patched(pcapng(FRAMES), 32, "07000000"), "a block at byte 28 claims 7 bytes"),
    ],
)
def test_a_torn_capture_is_refused_at_once_with_its_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, fault: str
) -> None:
    monkeypatch.delattr(suricata, "eve_of")  # nobody asks the program
    path = tmp_path / "torn.pcap"
    path.write_bytes(data)
    assert dumps.is_capture(path)
    with pytest.raises(suricata.SuricataError, match=f"torn.pcap: no capture that can be read: {fault}"):
        dumps.ingest(path, "lab")
    assert not Intake.objects.exists()


@pytest.mark.parametrize("written", [pcap, pcapng], ids=lambda one: one.__name__)
def test_nothing_speaks_against_a_capture_that_is_whole_or_breaks_off_later(written: Any) -> None:
    whole = written(FRAMES)
    assert captures.fault_of(whole) is None
    assert captures.fault_of(whole[:-20]) is None
    swapped = struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1) + struct.pack(">IIII", 1, 1, 4, 4) + bytes(4)
    assert captures.fault_of(swapped) is None


@needs_suricata
def test_what_suricata_cannot_read_is_said_without_its_minute_of_patience(tmp_path: Path) -> None:
    path = tmp_path / "radio.pcap"
    path.write_bytes(_patched(pcap(FRAMES), 20, "93000000"))  # a kind of link it does not know
    began = time.monotonic()
    with pytest.raises(suricata.SuricataError, match=r"radio.pcap: Suricata could not read it: E: pcap: datalink type"):
        dumps.ingest(path, "lab")
    assert time.monotonic() - began < 30
    assert not Intake.objects.exists()


@needs_suricata
def test_a_capture_that_breaks_off_gives_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "torn.pcap"
    path.write_bytes(pcap(FRAMES)[:-20])
    assert dumps.ingest(path, "lab").http == 2


@needs_suricata
@pytest.mark.parametrize("written", [pcap, pcapng], ids=lambda one: one.__name__)
def test_a_capture_that_was_sent_as_a_log_is_told_what_to_do_and_read_then(tmp_path: Path, written: Any) -> None:
    path = tmp_path / "attack.cap"
    path.write_bytes(written(FRAMES))
    [refused] = ingest_paths([path])
    assert list(refused.reasons) == ["a saved capture; Suricata reads it: manage.py ingest FILE"]
    assert dumps.ingest(path, "lab").http == 2
    assert Intake.objects.get().kind == Kind.DUMP


def test_a_torn_gzip_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "torn.pcap.gz"
    path.write_bytes(gzip.compress(pcap(FRAMES))[:-9])
    with pytest.raises(suricata.SuricataError, match=r"torn.pcap.gz: cannot be unpacked"):
        dumps.ingest(path, "lab")


def test_without_the_program_it_says_how_to_get_it(settings: Any, capture: Path) -> None:
    settings.ETALON_SURICATA = "no-such-suricata"
    with pytest.raises(suricata.SuricataError, match=r"no program 'no-such-suricata'. Install Suricata"):
        dumps.ingest(capture, "lab")
    assert not Intake.objects.exists()


def test_rules_that_are_not_there_are_named(settings: Any, capture: Path) -> None:
    settings.ETALON_SURICATA_RULES = "/nowhere/lab.rules"
    with pytest.raises(suricata.SuricataError, match=r"ETALON_SURICATA_RULES=/nowhere/lab.rules: no such file"):
        dumps.ingest(capture, "lab")
