"""One EVE record → one session row, and whole logs → joined sessions. Each nasty is built from its description."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tracemalloc
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.sessions import COLUMN_NAMES, FLOW, HIT_FIELDS, TRANSACTION
from detection.sources import suricata, suricata_reader
from detection.sources.lines import UPLOAD, LineBlocks, TooMuchUnpackedError, UnpackLimits
from detection.sources.reader import ReaderPolicy, Rejected
from detection.sources.suricata import session_row
from detection.sources.suricata_reader import Reader
from detection.sources.values import BadRecordError, decode_uri, micros, parse_line
from tests.detection import eve


def micros_of(second: float) -> int:
    return int((eve.BEGAN.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6 + second * 1e6)


# --- one record


def test_a_record_becomes_a_row_with_every_column() -> None:
    row = session_row(
        eve.http(7, 3, second=1.5, community_id="1:abc", pcap_filename="a.pcap", http={"http_refer": "r"})
    )
    assert tuple(row) == COLUMN_NAMES
    told = {name: value for name, value in row.items() if value not in (None, [])}
    assert told == {
        "start": micros_of(1.5),
        "flow_id": 7,
        "tx_id": 3,
        "protocol": "http",
        "app_proto": "http",
        "src_ip": "10.0.0.7",
        "src_port": 49152,
        "dst_ip": "192.0.2.8",
        "dst_port": 80,
        "community_id": "1:abc",
        "host": "shop.example",
        "method": "GET",
        "uri": "/search?q=shoes",
        "uri_decoded": "/search?q=shoes",
        "user_agent": "Mozilla/5.0",
        "referer": "r",
        "http_version": "HTTP/1.1",
        "status": 200,
        "content_type": "text/html",
        "response_bytes": 1234,
        "capture": "a.pcap",
        "flow_sessions": 1,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T12:00:00.000001+0000", micros_of(0) + 1),
        ("2026-03-01T14:00:00.000001+0200", micros_of(0) + 1),
        ("2026-03-01T06:30:00.000000-0530", micros_of(0)),
        ("2026-03-01T12:00:00.000000+00:00", micros_of(0)),
        ("2026-03-01T12:00:00Z", micros_of(0)),
        ("2026-03-01T12:00:00.5", micros_of(0.5)),
        ("1970-01-01T00:00:00.000007+0000", 7),
    ],
)
def test_times_of_every_zone_are_utc_microseconds(text: str, expected: int) -> None:
    assert micros(text) == expected
    assert micros(text) == expected  # the second time from the memory of seconds


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T12:00:00.000000+0000", "2026-03-01T12:00:00.0000x1+0000",
                                  "0001-01-01T00:00:00.000000+0000", "XXXX-XX-XXTXX:XX:XX.XXXXXX+XXXX"])  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(BadRecordError, match="timestamp"):
        micros(text)


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1)),
    st.integers(-12 * 60, 14 * 60),
)
def test_times_agree_with_the_library(moment: datetime, offset: int) -> None:
    sign, rest = ("-", -offset) if offset < 0 else ("+", offset)
    text = f"{moment:%Y-%m-%dT%H:%M:%S.%f}{sign}{rest // 60:02}{rest % 60:02}"
    expected = moment.replace(tzinfo=UTC) - timedelta(minutes=offset) - datetime(1970, 1, 1, tzinfo=UTC)
    assert micros(text) == expected // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("uri", "decoded"),
    [
        (None, None),
        ("/plain", "/plain"),
        ("/a%2Fb", "/a/b"),
        ("/a+b", "/a b"),
        ("/a%2Bb", "/a+b"),
        ("/%2527", "/'"),  # twice
        ("/%252527", "/%27"),  # and no further
        ("/%ff", "/\ufffd"),
        ("/100%", "/100%"),
        ("/%00", "/\0"),
        ("/%zz%4", "/%zz%4"),
    ],
)
def test_request_targets_are_decoded_twice_at_most(uri: str | None, decoded: str | None) -> None:
    assert decode_uri(uri) == decoded


@pytest.mark.parametrize(
    "missing", ["hostname", "url", "status", "http_method", "http_user_agent", "length", "protocol"]
)
def test_a_session_without_one_field_is_kept(missing: str) -> None:
    found, reader = eve.read([eve.http(http={missing: ...})])
    assert len(found) == 1
    assert not reader.counts.rejected
    column = {"hostname": "host", "url": "uri", "http_method": "method", "http_user_agent": "user_agent",
              "length": "response_bytes", "protocol": "http_version"}.get(missing, missing)  # fmt: skip
    assert found[0][column] is None


@pytest.mark.parametrize(
    ("fields", "column", "value"),
    [
        ({"http": {"status": "404"}}, "status", 404),
        ({"http": {"status": "none"}}, "status", None),
        ({"http": {"status": 10**30}}, "status", None),
        ({"http": {"status": -1}}, "status", None),
        ({"http": {"length": "77"}}, "response_bytes", 77),
        ({"http": {"length": 2**63}}, "response_bytes", None),
        ({"http": {"hostname": ["first.example", "second.example"]}}, "host", "first.example"),
        ({"http": {"hostname": []}}, "host", None),
        ({"http": {"http_user_agent": 7}}, "user_agent", "7"),
        ({"http": {"url": {"path": "/"}}}, "uri", None),
        ({"src_port": 70_000}, "src_port", None),
        ({"src_ip": None}, "src_ip", None),
        ({"dest_port": "8080"}, "dst_port", 8080),
        ({"flow_id": "12"}, "flow_id", 12),
        ({"src_ip": "2001:db8::7", "dest_ip": "fe80::1"}, "dst_ip", "fe80::1"),
    ],
)
def test_odd_types_are_forgiven(fields: dict[str, Any], column: str, value: Any) -> None:
    flow_id = fields.pop("flow_id", 1)
    found, reader = eve.read([eve.http(**fields) | {"flow_id": flow_id}])
    assert not reader.counts.rejected
    assert found[0][column] == value


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"timestamp": ...}, "timestamp is missing"),
        ({"timestamp": "soon"}, "timestamp is no ISO 8601 time"),
        ({"flow_id": ...}, "flow_id is missing or no number"),
        ({"flow_id": -1}, "flow_id is missing or no number"),
        ({"flow_id": 2**64}, "flow_id is missing or no number"),
        ({"http": "GET /"}, "http is no object"),
    ],
)
def test_a_session_without_time_or_flow_is_rejected(broken: dict[str, Any], reason: str) -> None:
    record = {name: value for name, value in (eve.http(2) | broken).items() if value is not ...}
    found, reader = eve.read([eve.http(1), record])
    assert len(found) == 1
    assert dict(reader.counts.reasons) == {reason: 1}
    assert [one.data for one in reader.rejected] == [eve.line(record)]


def test_http2_header_arrays_fill_the_row() -> None:
    told = {
        "version": "2",
        "http2": {"stream_id": 1},
        "request_headers": [
            {"name": ":method", "value": "POST"},
            {"name": ":path", "value": "/api%20x"},
            {"name": ":authority", "value": "api.example"},
            {"name": "User-Agent", "value": "curl/8"},
            {"name": "referer", "value": "https://a.example/"},
        ],
        "response_headers": [
            {"name": ":status", "value": "201"},
            {"name": "content-type", "value": "application/json"},
        ],
    }
    record = eve.http()
    record["http"] = told
    (row,), _ = eve.read([record])
    assert (row["method"], row["uri"], row["uri_decoded"], row["host"]) == ("POST", "/api%20x", "/api x", "api.example")
    assert (row["user_agent"], row["referer"], row["status"]) == ("curl/8", "https://a.example/", 201)
    assert (row["content_type"], row["http_version"], row["app_proto"]) == ("application/json", "HTTP/2", "http2")


def test_http2_settings_are_a_session_without_request() -> None:
    record = eve.http()
    record["http"] = {"version": "2", "http2": {"stream_id": 0, "request": {"settings": []}, "response": {}}}
    (row,), _ = eve.read([record])
    assert (row["uri"], row["method"], row["http_version"]) == (None, None, "HTTP/2")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
http_fields = st.sampled_from(
    ["hostname", "url", "http_user_agent", "http_refer", "http_method", "http_content_type", "protocol", "version",
     "http2", "status", "length", "request_headers", "response_headers"]
)  # fmt: skip
outer_fields = st.sampled_from(
    ["tx_id", "app_proto", "src_ip", "src_port", "dest_ip", "dest_port", "community_id", "pcap_filename"]
)


@given(st.dictionaries(http_fields, json_values, max_size=6), st.dictionaries(outer_fields, json_values, max_size=4))
@settings(deadline=None, max_examples=60)
def test_both_ways_of_reading_give_the_same_row(http: dict[str, Any], outer: dict[str, Any]) -> None:
    record = eve.http() | outer
    record["http"] = http
    line = json.dumps(record).encode()
    fast = suricata.told_by(line)
    row = session_row(parse_line(line))
    assert fast is None or fast == tuple(row[name] for name in suricata.TOLD)
    for name in suricata.TOLD:
        value = row[name]
        assert value is None or isinstance(value, (str, int))
        if isinstance(value, str):
            value.encode()  # no half surrogate reaches a file
        elif value is not None:
            assert -(2**63) <= value < 2**63


# --- joining


def hits_of(row: dict[str, Any]) -> list[tuple[int, str]]:
    return [(hit["sid"], hit["scope"]) for hit in row["hits"]]


def test_a_hit_has_all_fields() -> None:
    (row,), _ = eve.read([eve.http(), eve.alert(sid=7)])
    (hit,) = row["hits"]
    assert tuple(hit) == HIT_FIELDS
    assert hit == {"sid": 7, "gid": 1, "rev": 3, "signature": "ET WEB_SERVER attack 7",
                   "category": "Web Application Attack", "severity": 1, "action": "allowed",
                   "scope": TRANSACTION}  # fmt: skip


def test_a_hit_with_a_transaction_belongs_to_it_and_one_without_to_the_whole_flow() -> None:
    found, reader = eve.read(
        [
            eve.alert(1, 1, sid=11),  # before its session
            eve.alert(1, None, sid=12),
            eve.http(1, 0),
            eve.http(1, 1),
            eve.http(2, 1),
            eve.alert(1, 1, sid=13),  # after it
        ]
    )
    assert [hits_of(row) for row in found] == [
        [(12, FLOW)],
        [(11, TRANSACTION), (12, FLOW), (13, TRANSACTION)],
        [],
    ]
    assert (reader.counts.rule_hits, reader.counts.orphan_hits) == (3, 0)


def test_hits_without_session_are_kept_and_counted() -> None:
    orphans = [eve.alert(9, 0), eve.alert(1, 5), eve.alert(8, None)]
    found, reader = eve.read([eve.http(1, 0), *orphans])
    assert [hits_of(row) for row in found] == [[]]
    assert (reader.counts.rule_hits, reader.counts.orphan_hits) == (3, 3)
    assert b"".join(reader.orphans) == eve.log(orphans)


def test_after_an_upgrade_the_protocol_of_the_hit_chooses() -> None:
    second = eve.http(1, 0, second=1, http={"version": "2", "protocol": ...})
    found, _ = eve.read(
        [
            eve.http(1, 0),
            second,
            eve.alert(1, 0, sid=1, app_proto="http"),
            eve.alert(1, 0, sid=2, app_proto="http2"),
            eve.alert(1, 0, sid=3),
        ]
    )
    assert [row["app_proto"] for row in found] == ["http", "http2"]
    assert [[sid for sid, _ in hits_of(row)] for row in found] == [[1, 3], [2, 3]]


def test_flow_and_file_records_fill_their_columns() -> None:
    found, reader = eve.read(
        [
            eve.fileinfo(1, 1, size=5, magic="PNG image"),
            eve.http(1, 0),
            eve.http(1, 1),
            eve.flow(1, 3),
            eve.flow(2, 3),
            eve.fileinfo(3, 0),
        ]
    )
    first, second = found
    assert (first["file_magic"], first["file_bytes"], first["file_sha256"]) == (None, None, None)
    assert (second["file_magic"], second["file_bytes"], second["file_sha256"]) == ("PNG image", 5, "ab" * 32)
    for row in found:
        assert (row["flow_start"], row["flow_end"]) == (micros_of(0), micros_of(2))
        assert (row["bytes_to_server"], row["bytes_to_client"]) == (700, 9000)
        assert (row["packets_to_server"], row["packets_to_client"]) == (6, 5)
    assert reader.counts.lines == 6


def test_a_thousand_transactions_on_one_flow() -> None:
    records = [eve.http(1, number) for number in range(1000)] + [eve.alert(1, number) for number in range(1000)]
    records += [eve.fileinfo(1, number, size=number) for number in range(1000)] + [eve.alert(1, None), eve.flow(1)]
    random.Random(5).shuffle(records)
    found, reader = eve.read(records)
    assert len(found) == 1000
    assert [len(row["hits"]) for row in found] == [2] * 1000
    assert [row["file_bytes"] for row in found] == [row["tx_id"] for row in found]
    assert {row["flow_sessions"] for row in found} == {1000}
    assert reader.counts.orphan_hits == 0


def between(seconds: float, lines: int) -> list[dict[str, Any] | bytes]:
    """Other traffic that fills lines and time."""
    return [eve.record("dns", 77, seconds * number / max(lines, 1)) for number in range(lines)]


def test_hits_find_sessions_within_the_join_window_and_not_far_outside() -> None:
    policy = {"join_lines": 1000}
    near, far = between(100, 900), [eve.record("dns", 77, 100 + number) for number in range(3000)]
    found, reader = eve.read([eve.http(1), *near, eve.alert(1, 0, 100), *far, eve.alert(1, 0, 4000, sid=9)], **policy)
    assert [hits_of(row) for row in found] == [[(2001, TRANSACTION)]]
    assert [json.loads(one)["alert"]["signature_id"] for one in b"".join(reader.orphans).splitlines()] == [9]


def test_a_minute_of_the_log_is_joined_however_many_lines_it_has() -> None:
    crowd = between(59, 5000)
    found, _ = eve.read([eve.http(1), *crowd, eve.alert(1, 0, 59)], join_lines=100)
    assert hits_of(found[0]) == [(2001, TRANSACTION)]


@given(st.permutations(range(9)), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_any_order_gives_the_same_sessions(order: list[int], copies: int) -> None:
    records = [
        eve.http(1, 0), eve.http(1, 1), eve.http(2, 0), eve.alert(1, 0, sid=1), eve.alert(1, None, sid=2),
        eve.alert(2, 0, sid=3), eve.flow(1), eve.flow(2), eve.fileinfo(1, 1),
    ]  # fmt: skip
    found, _ = eve.read([records[place] for place in order], chunk_rows=copies)
    expected, _ = eve.read(records)

    def plain(rows: list[dict[str, Any]]) -> list[Any]:
        return sorted(
            [
                (row["flow_id"], row["tx_id"], sorted(hits_of(row)), row["bytes_to_server"], row["file_bytes"])
                for row in rows
            ],
            key=str,
        )

    assert plain(found) == plain(expected)


def test_chunks_hold_a_bounded_number_of_sessions_and_bytes() -> None:
    data = eve.log(eve.http(number) for number in range(25))
    reader = Reader(io.BytesIO(data), policy=ReaderPolicy(chunk_rows=10))
    assert [len(chunk.raw) for chunk in reader] == [10, 10, 5]
    reader = Reader(io.BytesIO(data), policy=ReaderPolicy(chunk_rows=10, chunk_bytes=1000))
    assert sum(len(chunk.raw) for chunk in reader) == 25
    reader = Reader(io.BytesIO(data), policy=ReaderPolicy(chunk_bytes=10))
    assert [len(chunk.raw) for chunk in reader] == [1] * 25


def test_memory_does_not_grow_with_the_log() -> None:
    line = eve.line(eve.http(987_654_321)) + b"\n"

    class Endless(io.RawIOBase):
        """Sessions without end, made while they are read."""

        def __init__(self, lines: int) -> None:
            self.left = lines

        def read(self, size: int = -1) -> bytes:
            take = min(self.left, max(size, 1) // len(line) or 1)
            self.left -= take
            return b"".join(line.replace(b"987654321", b"%d" % (self.left + offset)) for offset in range(take))

    def peak(lines: int) -> int:
        tracemalloc.start()
        for _chunk in Reader(Endless(lines), policy=ReaderPolicy(join_lines=150, join_seconds=0, chunk_rows=150)):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(500)  # what grows once: caches, modules
    assert peak(12_000) < 1.6 * peak(3_000)


# --- lines that are odd


def test_spaces_after_the_colon_change_nothing() -> None:
    records = [eve.http(), eve.alert(), eve.flow(), eve.fileinfo(), eve.record("dns", 1)]
    tight, _ = eve.read(records)
    spaced, reader = eve.read(b"".join(json.dumps(one).encode() + b"\n" for one in records))
    wide, wide_reader = eve.read(
        b"".join(json.dumps(one, separators=(" , ", " : ")).encode() + b"\n" for one in records)
    )
    for rows in (tight, spaced, wide):
        for row in rows:
            row.pop("raw")
    assert tight == spaced == wide
    assert reader.counts == wide_reader.counts
    assert reader.counts.other == {"dns": 1}


def test_keys_in_any_order_are_found() -> None:
    records = [eve.http(), eve.alert(), eve.flow(), eve.fileinfo()]
    turned = [dict(reversed(one.items())) for one in records]
    (row,), reader = eve.read(turned)
    assert (len(row["hits"]), row["bytes_to_server"], row["file_bytes"]) == (1, 700, 1234)
    assert not reader.counts.rejected


@pytest.mark.parametrize("change", [
    lambda data: b"\xef\xbb\xbf" + data,
    lambda data: data.replace(b"\n", b"\r\n"),
    lambda data: data.rstrip(b"\n"),
    lambda data: b"\n\n" + data.replace(b"\n", b"\n\n  \n"),
    lambda data: b"\0" * 4096 + data,
], ids=["byte order mark", "CRLF", "no newline at the end", "empty lines", "zeros of a crash"])  # fmt: skip
def test_the_same_sessions_whatever_surrounds_the_lines(change: Any) -> None:
    records = [eve.http(1), eve.alert(1), eve.flow(1), eve.fileinfo(1), eve.record("dns", 1), eve.http(2)]
    plain, plain_reader = eve.read(records)
    odd, odd_reader = eve.read(change(eve.log(records)))
    for row in plain + odd:
        row.pop("raw")
    assert odd == plain
    assert odd_reader.counts == plain_reader.counts


def test_torn_lines_are_set_aside_and_good_ones_kept() -> None:
    torn = [eve.line(one)[:-20] for one in (eve.http(3), eve.alert(1), eve.flow(1), eve.fileinfo(1))]
    torn.append(eve.line(eve.record("dns", 4))[:60])
    found, reader = eve.read([eve.http(1), *torn, eve.http(2)])
    assert [row["flow_id"] for row in found] == [1, 2]
    assert reader.counts.rejected == 5
    assert dict(reader.counts.reasons) == {"broken or torn JSON": 5}
    assert [one.line for one in reader.rejected] == [2, 3, 4, 5, 6]
    assert [one.data for one in reader.rejected] == torn


@pytest.mark.parametrize("first", ["http", "alert", "flow", "fileinfo", "dns"])
@pytest.mark.parametrize("is_torn", [False, True])
def test_two_records_on_one_line_are_never_half_read(first: str, is_torn: bool) -> None:
    made = {"http": eve.http, "alert": eve.alert, "flow": eve.flow, "fileinfo": eve.fileinfo}
    begun = eve.line(made[first](1) if first in made else eve.record(first, 1))
    glued = (begun[:-15] if is_torn else begun) + eve.line(eve.http(2))
    found, reader = eve.read([eve.http(3), glued, eve.http(4)])
    assert [row["flow_id"] for row in found] == [3, 4]
    assert reader.counts.rejected == 1
    assert [one.data for one in reader.rejected] == [glued]


def test_the_same_line_twice_is_one_session() -> None:
    twice = eve.http(1, 0)
    found, reader = eve.read([twice, twice, eve.http(1, 0, second=1), eve.http(2, 0)])
    assert [(row["flow_id"], row["flow_sessions"]) for row in found] == [(1, 2), (1, 2), (2, 1)]
    assert dict(reader.counts.reasons) == {"the same line twice": 1}


def test_nul_in_a_text_is_kept() -> None:
    found, _ = eve.read([eve.http(http={"url": "/a\0b", "hostname": "\0"})])
    assert (found[0]["uri"], found[0]["host"]) == ("/a\0b", "\0")


def test_bytes_that_are_no_utf8_do_not_hide_a_session() -> None:
    line = eve.line(eve.http(http={"url": "/caf@"})).replace(b"@", b"\xe9")
    elsewhere = eve.line(eve.http(2, http={"unread": "@"})).replace(b"@", b"\xe9")
    found, reader = eve.read([line, elsewhere])
    assert [row["uri"] for row in found] == ["/caf\ufffd", "/search?q=shoes"]
    assert [row["raw"] for row in found] == [line, elsewhere]
    assert not reader.counts.rejected


def test_half_surrogates_become_replacement_characters() -> None:
    line = eve.line(eve.http(http={"url": "/@"})).replace(b"@", rb"\ud800x\ud83d\ude00")
    found, _ = eve.read([line])
    assert found[0]["uri"] == "/\ufffdx\U0001f600"


def test_a_line_of_91_kilobytes_is_read() -> None:
    found, reader = eve.read([eve.http(http={"url": "/" + "a" * 91_000}), eve.http(2)])
    assert [len(row["uri"]) for row in found] == [91_001, 15]
    assert not reader.counts.rejected


@pytest.mark.parametrize("length", [1_200_000, 5_000_000])
def test_a_line_beyond_the_limit_is_cut_and_set_aside(length: int) -> None:
    data = eve.log([eve.http(1), eve.http(2, http={"url": "a" * length}), eve.http(3), eve.http(4)])
    found, reader = eve.read(data, max_line=1 << 20)
    assert [row["flow_id"] for row in found] == [1, 3, 4]
    assert [(one.line, one.reason, len(one.data)) for one in reader.rejected] == [
        (2, "line longer than 1048576 bytes", 1 << 20)
    ]
    assert reader.counts.lines == 4


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"a":' * 20_000,
        b'{"n":' + b"9" * 10_000 + b"}",
        b"{}",
        b"null",
        b"7",
        b'{"event_type":7}',
        b'{"event_type":"alert"}',
        b'{"event_type":"http"}',
    ],
)
def test_json_that_no_sensor_writes_is_set_aside(line: bytes) -> None:
    found, reader = eve.read([eve.http(1), line])
    assert len(found) == 1
    assert reader.counts.rejected == 1


def test_a_nested_type_does_not_decide() -> None:
    record = {"extra": {"event_type": "http"}} | eve.alert(1)
    found, reader = eve.read([eve.http(1), record])
    assert (len(found), reader.counts.rule_hits, reader.counts.rejected) == (1, 1, 0)


def test_types_that_are_not_read_are_counted_by_name() -> None:
    names = [f"made-up {number}" for number in range(5)] + [f"kind_{number}" for number in range(100)]
    _, reader = eve.read([eve.http(), *(eve.record(name) for name in names)])
    assert reader.counts.other["kind_0"] == 1
    assert reader.counts.other["unknown"] >= 5
    assert sum(reader.counts.other.values()) == 105
    assert len(reader.counts.other) <= 65


some_line = st.binary(max_size=80) | st.sampled_from(
    [eve.line(eve.http()), eve.line(eve.tls()), eve.line(eve.alert()), b"{", b"}{", b"\0"]
)


@given(st.lists(some_line, max_size=12), st.integers(1, 400))
@settings(deadline=None, max_examples=150)
def test_no_bytes_break_the_reader_and_none_are_lost(lines: list[bytes], cut: int) -> None:
    data = b"\n".join(lines)
    found, reader = eve.read(data)
    assert reader.digest == hashlib.sha256(data).hexdigest()
    counts = reader.counts
    assert counts.http + counts.tls == len(found)
    if reader.refused:
        assert counts.rejected == 1
        assert not found
    else:
        assert (
            counts.lines == counts.http + counts.tls + counts.rule_hits + sum(counts.other.values()) + counts.rejected
        )
    eve.read(gzip.compress(data)[:-cut])  # any cut


# --- files that are odd


def test_gzip_is_known_by_its_first_bytes_and_digested_as_received() -> None:
    data = eve.log([eve.http(1), eve.alert(1)])
    packed = gzip.compress(data)
    found, reader = eve.read(packed)
    assert len(found) == 1
    assert reader.digest == hashlib.sha256(packed).hexdigest()


def test_gzip_of_several_members_and_padding_is_read_whole() -> None:
    packed = gzip.compress(eve.log([eve.http(1)])) + gzip.compress(eve.log([eve.http(2)])) + b"\0" * 512
    found, reader = eve.read(packed)
    assert [row["flow_id"] for row in found] == [1, 2]
    assert not reader.counts.rejected


def test_a_truncated_gzip_keeps_its_good_lines() -> None:
    lines = eve.log(
        eve.http(number, http={"url": f"/{random.Random(number).getrandbits(400)}"}) for number in range(500)
    )
    packed = gzip.compress(lines)
    found, reader = eve.read(packed[: len(packed) // 2])
    assert 100 < len(found) < 400
    assert reader.counts.reasons["gzip data ends too early"] == 1
    assert [row["flow_id"] for row in found] == list(range(len(found)))


def test_a_damaged_gzip_keeps_what_came_before() -> None:
    lines = eve.log(
        eve.http(number, http={"url": f"/{random.Random(number).getrandbits(400)}"}) for number in range(5000)
    )
    packed = bytearray(gzip.compress(lines))
    packed[len(packed) // 2 : len(packed) // 2 + 50] = b"\xff" * 50
    found, reader = eve.read(bytes(packed))
    assert 0 < len(found) < 5000
    assert any("gzip data" in reason for reason in reader.counts.reasons)
    assert reader.digest == hashlib.sha256(packed).hexdigest()


def test_bytes_behind_a_gzip_are_reported() -> None:
    _, reader = eve.read(gzip.compress(eve.log([eve.http(1)])) + b"garbage")
    assert dict(reader.counts.reasons) == {"bytes after the end of the gzip data": 1}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[1, 2, 3]", "a JSON array"),
        (json.dumps([{"uid": "Cabc"}, {"a": {"b": 1}}], indent=2).encode(), "JSON, but no line is a record"),
        (b"[12:00] a text log\n" * 50, "a JSON array"),
        (b"source,commit,http\nzeek,ec88,1\n" * 50, "text that is no JSON"),
        (b'{"uid":"Cabc","id.orig_h":"10.0.0.1"}\n' * 50, "JSON, but no line is a record with an event_type"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, "binary data"),
        (gzip.compress(b"PK\x03\x04" + bytes(5000), mtime=0), "binary data"),
    ],
)
def test_files_that_are_no_logs_are_refused_whole_with_one_reason(data: bytes, reason: str) -> None:
    found, reader = eve.read(data)
    assert found == []
    assert reader.refused is not None
    assert reader.refused.startswith(reason)
    counts = reader.counts
    assert (counts.lines, counts.http, counts.rule_hits, counts.rejected) == (0, 0, 0, 1)
    assert len(list(reader.rejected)) == 1


def test_an_empty_file_is_an_empty_log() -> None:
    for data in (b"", b"\n\n", gzip.compress(b"")):
        found, reader = eve.read(data)
        assert (found, reader.refused, reader.counts.rejected) == ([], None, 0)


def test_a_large_file_that_is_no_log_is_not_looked_at_to_its_end() -> None:
    data = b"no record\n" * 60_000 + eve.log([eve.http(1)])
    found, reader = eve.read(data, probe_lines=5_000)
    assert found == []
    assert reader.refused is not None
    assert reader.digest == hashlib.sha256(data).hexdigest()


def test_uploads_may_not_unfold_far() -> None:
    bomb = gzip.compress(b"a" * (64 << 20))
    with pytest.raises(TooMuchUnpackedError, match="20 times"):
        for _ in LineBlocks(io.BytesIO(bomb), limits=UPLOAD):
            pass
    with pytest.raises(TooMuchUnpackedError, match="100000 bytes"):
        for _ in LineBlocks(io.BytesIO(b"a\n" * 100_000), limits=UnpackLimits(total=100_000)):
            pass
    assert sum(len(lines) for _, lines, _ in LineBlocks(io.BytesIO(bomb))) >= 1  # our own files may


def test_rejected_lines_come_back_as_they_were() -> None:
    for one in (Rejected(3, "why", b"\xff\0\n"), Rejected(None, "why", "text \0 \u2028".encode())):
        assert Rejected.from_json(one.to_json()) == one


def test_rules_that_only_report_odd_protocol_use_do_not_make_a_log_inspected() -> None:
    notice = eve.alert(alert={"signature": "SURICATA HTTP unable to match response to request"})
    _, reader = eve.read([eve.http(), notice])
    assert not reader.is_inspected
    _, reader = eve.read([eve.http(), notice, eve.alert(5, sid=5)])
    assert reader.is_inspected
    assert set(reader.rules_seen) == {2001, 5}


# --- real traffic, counted independently


def test_real_logs_give_what_plain_json_counts(shared_data: Path) -> None:
    folder = shared_data / "eve"
    for path in sorted(folder.glob("*.eve.json.gz")):
        sessions: Counter[Any] = Counter()
        of_transaction: Counter[Any] = Counter()
        of_flow: Counter[Any] = Counter()
        kinds: Counter[str] = Counter()
        with gzip.open(path) as lines:
            for line in lines:
                record = json.loads(line)
                kinds[record["event_type"]] += 1
                if record["event_type"] == "http":
                    sessions[record["flow_id"], record["tx_id"]] += 1
                elif record["event_type"] == "tls":
                    sessions[record["flow_id"], 0] += 1
                elif record["event_type"] == "alert" and "tx_id" in record:
                    of_transaction[record["flow_id"], record["tx_id"]] += 1
                elif record["event_type"] == "alert":
                    of_flow[record["flow_id"]] += 1
        found, reader = eve.read(path.read_bytes())
        assert (reader.counts.http, reader.counts.tls) == (kinds["http"], kinds["tls"]), path.name
        assert Counter(row["protocol"] for row in found) == Counter(
            {name: kinds[name] for name in ("http", "tls") if kinds[name]}
        )
        assert reader.counts.rule_hits == kinds["alert"], path.name
        assert reader.counts.rejected == 0, path.name
        assert reader.counts.other == {
            name: count for name, count in kinds.items() if name not in ("http", "tls", "alert", "flow", "fileinfo")
        }
        assert Counter((row["flow_id"], row["tx_id"]) for row in found) == sessions
        for row in found:
            scopes = Counter(hit["scope"] for hit in row["hits"])
            assert scopes[TRANSACTION] == of_transaction[row["flow_id"], row["tx_id"]], path.name
            assert scopes[FLOW] == of_flow[row["flow_id"]], path.name
        flows = {row["flow_id"] for row in found}
        keys = set(sessions)
        lost = sum(count for key, count in of_transaction.items() if key not in keys)
        lost += sum(count for flow, count in of_flow.items() if flow not in flows)
        assert reader.counts.orphan_hits == lost, path.name


BOTH_WAYS = (
    (b"http", suricata.told_by, suricata.TOLD),
    (b"tls", suricata.tls_told_by, suricata.TLS_TOLD),
)


def test_real_records_give_the_same_row_both_ways(shared_data: Path) -> None:
    seen = 0
    for path in sorted((shared_data / "eve").glob("*.eve.json.gz")):
        with gzip.open(path) as lines:
            for line in lines:
                for kind, tell, names in BOTH_WAYS:
                    if b'"event_type":"%s"' % kind in line:
                        row = session_row(orjson.loads(line))
                        fast = tell(line)
                        assert fast is None or fast == tuple(row[name] for name in names)
                        seen += fast is not None
    assert seen > 2_600 + 1_033  # the other 49 are HTTP/2 settings without a request


def test_usual_lines_never_meet_the_slow_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(line: bytes) -> Any:
        raise AssertionError(line)

    monkeypatch.setattr(suricata, "parse_line", forbidden)
    monkeypatch.setattr(suricata_reader, "parse_line", forbidden)
    records = [eve.http(), eve.alert(), eve.flow(), eve.fileinfo(), eve.record("dns", 1), eve.tls(123_456)]
    (row, _), reader = eve.read(records)
    assert (len(row["hits"]), row["bytes_to_server"], row["file_bytes"]) == (1, 700, 1234)
    assert reader.counts.other == {"dns": 1}
