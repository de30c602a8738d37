"""What bad input gets (DESIGN): each nasty taken in, on the database in use: good lines stored, bad ones named."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from detection.sources.zeek import flow_id_of
from tests.detection import eve
from tests.traffic.test_ingest_zeek import http as zeek_http
from tests.traffic.test_ingest_zeek import text_log
from traffic.models import Intake, Segment
from traffic.services import ingest, late_hits, segments

pytestmark = pytest.mark.django_db

GOOD = [eve.http(1), eve.http(2, second=1)]
LOG = eve.log(GOOD)
HTTP2 = eve.http(
    3,
    http=dict.fromkeys(("hostname", "url", "http_method", "status", "http_user_agent", "protocol"), ...)
    | {
        "version": "2",
        "request_headers": [
            {"name": ":method", "value": "POST"},
            {"name": ":path", "value": "/api?x=%27"},
            {"name": ":authority", "value": "h2.example"},
            {"name": "user-agent", "value": "curl/8"},
        ],
        "response_headers": [{"name": ":status", "value": "503"}],
    },
)
BARE = eve.http(3, http=dict.fromkeys(("hostname", "url", "http_method", "status"), ...))
THOUSAND = [eve.http(3, tx, tx / 100) for tx in range(1000)]

# name, log, sessions, rejected, hits, hits without session
NASTIES: list[tuple[str, bytes, int, int, int, int]] = [
    ("truncated JSON", LOG + eve.line(eve.http(3))[:-20], 2, 1, 0, 0),
    ("truncated gzip", gzip.compress(LOG + eve.log(THOUSAND))[:-900], -1, -1, 0, 0),
    ("torn lines", LOG + b'{"timestamp":"2026-0\n' + eve.log([eve.http(3)]), 3, 1, 0, 0),
    ("doubled lines", LOG + LOG, 2, 2, 0, 0),
    ("byte order mark", b"\xef\xbb\xbf" + LOG, 2, 0, 0, 0),
    ("windows line ends", LOG.replace(b"\n", b"\r\n"), 2, 0, 0, 0),
    ("NUL in a text", LOG + eve.log([eve.http(3, http={"url": "/a\0b", "http_user_agent": "\0"})]), 3, 0, 0, 0),
    ("NUL bytes between lines", LOG.replace(b"\n", b"\n\0\0\0\n"), 2, 0, 0, 0),
    ("no UTF-8", LOG + eve.line(eve.http(3)).replace(b"shoes", b"\xff\xfe\xe9") + b"\n", 3, 0, 0, 0),
    ("half a surrogate", LOG + eve.line(eve.http(3)).replace(b"shoes", b"\\ud800") + b"\n", 3, 0, 0, 0),
    ("a line of 91 kB", LOG + eve.log([eve.http(3, http={"url": "/" + "a" * 91_000})]), 3, 0, 0, 0),
    ("missing host, url, status, method", LOG + eve.log([BARE]), 3, 0, 0, 0),
    ("IPv6", LOG + eve.log([eve.http(3, src_ip="2001:db8::7", dest_ip="fe80::1")]), 3, 0, 0, 0),
    ("HTTP/2 header arrays", LOG + eve.log([HTTP2]), 3, 0, 0, 0),
    ("a thousand transactions on one flow", eve.log([*THOUSAND, eve.alert(3, 999), eve.alert(3, None)]), 1000, 0, 2, 0),
    ("a hit before its session", eve.log([eve.alert(1), *GOOD]), 2, 0, 1, 0),
    ("a hit after its session", eve.log([*GOOD, eve.alert(1, second=50)]), 2, 0, 1, 0),
    ("a hit without any session", LOG + eve.log([eve.alert(9)]), 2, 0, 1, 1),
    ("an array of Suricata 4", json.dumps([*GOOD, eve.alert(9)], indent=2).encode(), 2, 0, 1, 1),
    ("a picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, 0, 1, 0, 0),
    ("a table", b"source,commit,http\nzeek,ec88,1\n" * 50, 0, 1, 0, 0),
    ("a zip", b"PK\x03\x04" + bytes(5000), 0, 1, 0, 0),
    ("an empty file", b"", 0, 0, 0, 0),
    ("numbers that do not fit", LOG + eve.log([eve.http(1 << 70), eve.http(3, status=1)]), 3, 1, 0, 0),
    ("deep nesting", LOG + b'{"event_type":"http","a":' + b"[" * 100_000 + b"\n", 2, 1, 0, 0),
]


@pytest.mark.parametrize("nasty", NASTIES, ids=[nasty[0] for nasty in NASTIES])
def test_good_lines_are_stored_and_bad_ones_are_named(tmp_path: Path, auditor_client: Any, nasty: Any) -> None:
    _name, data, sessions, rejected, hits, stray = nasty
    log = tmp_path / "nasty.json"
    log.write_bytes(data)
    (result,) = ingest.ingest_paths([log], "core-1")
    intake = Intake.objects.get(pk=result.intake)
    stored = [row for one in Segment.objects.sealed() for row in segments.read_rows(one, range(one.rows))]
    if sessions < 0:  # as far as the gzip could be unpacked
        assert (len(stored) > 2, intake.reject_reasons["gzip data ends too early"]) == (True, 1)
        sessions, rejected = len(stored), intake.rejected
    assert len(stored) == intake.sessions == sessions
    assert (intake.rejected, sum(intake.reject_reasons.values())) == (rejected, rejected)
    assert (intake.rule_hits, intake.orphan_hits) == (hits, stray)
    assert all(row["start"] and row["flow_id"] is not None for row in stored)
    page = auditor_client.get(reverse("traffic:quarantine", args=[intake.pk]))
    assert page.status_code == 200
    assert len(page.context["records"]) == min(rejected, 50)
    assert auditor_client.get(reverse("traffic:intakes")).status_code == 200
    (again,) = ingest.ingest_paths([log], "core-1")
    assert again.duplicate or sessions == 0
    assert sum(Segment.objects.values_list("rows", flat=True)) == sessions


def test_http2_header_arrays_fill_the_session(tmp_path: Path) -> None:
    (tmp_path / "h2.json").write_bytes(eve.log([HTTP2]))
    ingest.ingest_paths([tmp_path / "h2.json"])
    (row,) = segments.read_rows(Segment.objects.get(), [0])
    assert (row["method"], row["uri"], row["host"], row["status"]) == ("POST", "/api?x=%27", "h2.example", 503)
    assert (row["user_agent"], row["http_version"], row["uri_decoded"]) == ("curl/8", "HTTP/2", "/api?x='")


def test_uids_of_zeek_that_repeat_between_sets_are_not_joined(tmp_path: Path) -> None:
    for folder, ts in (("a", 1), ("b", 86_401)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "http.log").write_bytes(text_log("http", [zeek_http("C1", ts=f"{1_772_366_400 + ts}.0")]))
    ingest.ingest_paths([tmp_path])
    rows = [row for one in Segment.objects.all() for row in segments.read_rows(one, [0])]
    assert [row["flow_id"] for row in rows] == [flow_id_of("C1")] * 2
    assert len({row["start"] for row in rows}) == 2  # the start is part of the key


def test_a_hit_later_than_the_join_window_is_late_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window is 60 s of the log and at least 100,000 lines; here it is 100 lines."""
    policy = replace(ingest.LOCAL_POLICY, join_lines=100)
    monkeypatch.setattr(ingest, "LOCAL_POLICY", policy)
    honest = ingest.open_log
    monkeypatch.setattr(ingest, "open_log", lambda stream, **kept: honest(stream, **kept | {"policy": policy}))
    noise = [eve.record("dns", 50, number // 10, dns={}) for number in range(4_000)]
    records = [eve.http(1), *noise, eve.alert(1, 0, 500, sid=7)]
    (tmp_path / "long.json").write_bytes(b"".join(eve.line(one) + b" " * 700 + b"\n" for one in records))
    (result,) = ingest.ingest_paths([tmp_path / "long.json"])
    assert (result.rule_hits, result.orphan_hits) == (1, 1)
    assert late_hits.collect() == 1
    (row,) = segments.read_rows(Segment.objects.get(), [0])
    assert [hit["sid"] for hit in row["hits"]] == [7]


# real logs: alerts in a file of their own, as many sensors write them, end where they would have in one


ALERT = b'"event_type":"alert"'


def _hits(sensor: str) -> dict[tuple[Any, ...], list[str]]:
    found = {}
    for segment in Segment.objects.sealed().filter(sensor__name=sensor):
        for row in segments.read_rows(segment, range(segment.rows)):
            if row["flow_end"] and row["start"] > row["flow_end"] + 3_600_000_000:
                continue  # two captures in one log, years apart: the time of the other one was written
            key = (row["flow_id"], row["tx_id"], row["start"], row["protocol"], row["app_proto"], row["uri"])
            found[key] = sorted({json.dumps(hit, sort_keys=True) for hit in row["hits"]})
    return found


@pytest.mark.parametrize("alerts_first", [False, True])
@pytest.mark.parametrize("name", ["suricata-verify", "ndpi", "otrf", "zeek", "slips", "misc"])
def test_alerts_in_a_file_of_their_own_end_where_they_would_have_in_one(
    shared_data: Path, tmp_path: Path, name: str, alerts_first: bool
) -> None:
    data = gzip.decompress((shared_data / "eve" / f"{name}.eve.json.gz").read_bytes())
    lines = data.splitlines(keepends=True)

    alerts = [line for line in lines if ALERT in line]
    others = [line for line in lines if ALERT not in line]
    for file, some in (("whole", lines), ("alerts", alerts), ("others", others)):
        (tmp_path / file).write_bytes(b"".join(some) + b"\n" * (file == "others"))  # else it may be the whole
    ingest.ingest_paths([tmp_path / "whole"], "together")
    late_hits.collect()
    for file in ("alerts", "others") if alerts_first else ("others", "alerts"):
        ingest.ingest_paths([tmp_path / file], "apart")
        late_hits.collect()
    together = _hits("together")
    assert any(together.values()) or not alerts
    assert _hits("apart") == together
