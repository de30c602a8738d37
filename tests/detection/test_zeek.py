"""Zeek logs → sessions: both forms, joined by connection, every nasty built from its description."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.sessions import COLUMN_NAMES
from detection.sources import zeek
from detection.sources.logs import open_log
from detection.sources.suricata_reader import Reader
from detection.sources.values import BadRecordError
from detection.sources.zeek_companions import Companions
from tests.detection import eve, zeek_logs
from tests.detection.zeek_logs import conn, files, http, json_log, read, ssl, text_log, x509

START = round(zeek_logs.BEGAN * 1_000_000)
FORMS = pytest.mark.parametrize("form", ["text", "json"])


def log_of(form: str, path: str, records: list[dict[str, Any]]) -> bytes:
    return text_log(path, records) if form == "text" else json_log(records)


def told(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value not in (None, []) and name != "raw"}


@FORMS
def test_an_http_line_becomes_a_row(form: str) -> None:
    (row,), reader = read(log_of(form, "http", [http("C1", 3, 1.5, referrer="http://a.example/")]))
    assert set(row) - {"raw"} <= set(COLUMN_NAMES)
    assert told(row) == {
        "start": START + 1_500_000,
        "flow_id": zeek.flow_id_of("C1"),
        "tx_id": 2,
        "protocol": "http",
        "app_proto": "http",
        "src_ip": "10.0.0.7",
        "src_port": 49152,
        "dst_ip": "192.0.2.8",
        "dst_port": 80,
        "uid": "C1",
        "host": "shop.example",
        "method": "GET",
        "uri": "/search?q=shoes%20red",
        "uri_decoded": "/search?q=shoes red",
        "user_agent": "Mozilla/5.0",
        "referer": "http://a.example/",
        "http_version": "HTTP/1.1",
        "status": 200,
        "content_type": "text/html",
        "response_bytes": 1234,
        "flow_sessions": 1,
    }
    assert (reader.counts.lines, reader.counts.http, reader.counts.rejected) == (1, 1, 0)
    assert reader.has_rules is False


@FORMS
def test_an_ssl_line_becomes_a_row_with_its_certificate_and_connection(form: str) -> None:
    companions = Companions()
    for path, record in (("conn", conn() | {"id.resp_p": 443}), ("x509", x509()), ("files", files())):
        _, reader = read(log_of(form, path, [record]), companions)
        assert (dict(reader.counts.other), reader.counts.rejected) == ({path: 1}, 0)
    (row,), reader = read(log_of(form, "ssl", [ssl(second=1)]), companions)
    assert told(row) == {
        "start": START + 1_000_000,
        "flow_id": int(hashlib.sha256(b"C1").hexdigest()[:16], 16) >> 1,
        "tx_id": 0,
        "protocol": "tls",
        "app_proto": "tls",
        "src_ip": "10.0.0.7",
        "src_port": 49152,
        "dst_ip": "192.0.2.8",
        "dst_port": 443,
        "uid": "C1",
        "host": "shop.example",
        "tls_version": "TLS 1.2",
        "cipher": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "session_resumed": 0,
        "alpn": "h2",
        "ja3": "04307588e98e5900d4e7e3830eb705a9",
        "cert_subject": "C=US, O=Shop, Inc., CN=shop.example",
        "cert_issuer": "C=US, CN=CA 1",
        "cert_serial": "96DF",
        "cert_not_before": 1_716_249_600_000_000,
        "cert_not_after": 1_747_871_999_000_000,
        "cert_names": "shop.example,www.shop.example",
        "cert_sha1": "ab" * 20,
        "flow_start": START,
        "flow_end": START + 2_500_000,
        "bytes_to_server": 700,
        "bytes_to_client": 9000,
        "packets_to_server": 6,
        "packets_to_client": 5,
        "flow_sessions": 1,
    }
    assert (reader.counts.tls, reader.counts.http) == (1, 0)


def test_certificates_are_found_by_fingerprint_too() -> None:
    companions = Companions()
    print_ = "a5b05d2ae076130aa41060f53ecd72bdf864ea0179250e927549c94d5ab2499a"
    read(json_log([x509(fingerprint=print_) | {"id": None}]), companions)
    (row,), _ = read(json_log([ssl(cert_chain_fuids=None, cert_chain_fps=[print_], subject="CN=told")]), companions)
    assert (row["cert_subject"], row["cert_serial"], row["cert_sha1"]) == ("CN=told", "96DF", None)
    (row,), _ = read(json_log([ssl(cert_chain_fuids=None, cert_chain_fps=["AB" * 20])]))
    assert row["cert_sha1"] == "ab" * 20


@pytest.mark.parametrize("companion_first", [True, False])
@pytest.mark.parametrize("rows", [10, 500])
def test_one_file_may_hold_every_kind_in_any_order(companion_first: bool, rows: int) -> None:
    sessions = [http(f"C{n}", 1, n) for n in range(rows)] + [ssl(f"S{n}", n) for n in range(rows)]
    companions = [conn(f"C{n}", n) for n in range(rows)] + [conn(f"S{n}", n) | {"id.resp_p": 443} for n in range(rows)]
    companions.append(x509())
    both = companions + sessions if companion_first else sessions + companions
    random.Random(3).shuffle(both) if companion_first else None
    found, reader = read(json_log(both), chunk_rows=100)
    assert Counter(row["protocol"] for row in found) == {"http": rows, "tls": rows}
    assert {row["bytes_to_client"] for row in found} == {9000}
    assert {row["cert_serial"] for row in found if row["protocol"] == "tls"} == {"96DF"}
    assert reader.counts.lines == 4 * rows + 1
    for row in found:
        assert json.loads(row["raw"])["uid"] == row["uid"]


def test_chunks_are_bounded_and_hold_one_protocol() -> None:
    data = json_log([http(f"C{n}", 1, n) if n % 2 else ssl(f"C{n}", n) for n in range(1000)])
    chunks = list(open_log(io.BytesIO(data), policy=eve.ReaderPolicy(chunk_rows=70)))
    assert sum(len(chunk.raw) for chunk in chunks) == 1000
    assert max(len(chunk.raw) for chunk in chunks) <= 70
    assert all(set(chunk.columns["protocol"]) == {chunk.protocol} for chunk in chunks)
    chunks = list(open_log(io.BytesIO(data), policy=eve.ReaderPolicy(chunk_bytes=5_000)))
    assert max(sum(map(len, chunk.raw)) for chunk in chunks) <= 5_000


def test_a_uid_that_repeats_with_other_addresses_is_another_connection() -> None:
    companions = Companions()
    read(json_log([conn("C1"), conn("C1", 60, orig_ip_bytes=1) | {"id.orig_h": "10.9.9.9"}]), companions)
    sessions = [http("C1"), http("C1") | {"id.orig_h": "10.9.9.9"}, http("C1") | {"id.orig_p": 1}]
    found, _ = read(json_log(sessions), companions)
    assert [row["bytes_to_server"] for row in found] == [700, 1, None]


def test_a_thousand_transactions_on_one_connection() -> None:
    found, _ = read(text_log("http", [http("C1", n + 1, n) for n in range(1000)]))
    assert [row["tx_id"] for row in found] == list(range(1000))
    assert {row["flow_sessions"] for row in found} == {1000}


# --- text


def test_fields_come_in_any_order_under_any_separator() -> None:
    fields = sorted(http())
    for separator in ("\t", "|", " "):
        (row,), _ = read(text_log(None, [http(uri="/a|b c\td")], fields=fields, separator=separator))
        assert (row["uri"], row["host"]) == ("/a|b c\td", "shop.example")


def test_a_log_of_several_headers_is_read_by_each() -> None:
    data = text_log("http", [http("C1")]) + text_log("dns", [{"ts": 1.0, "uid": "D", "query": "a"}])
    data += text_log("http", [http("C2")], fields=[*sorted(http()), "label", "detailedlabel"])
    data += text_log("conn", [conn("C1"), conn("C2")])
    found, reader = read(data)
    assert [(row["uid"], row["bytes_to_server"]) for row in found] == [("C1", 700), ("C2", 700)]
    assert dict(reader.counts.other) == {"dns": 1, "conn": 2}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (rb"/a\x09b", "/a\tb"),
        (rb"/a\\b", "/a\\b"),
        (rb"/a\\x41", "/a\\x41"),
        (rb"/\xc3\xa9", "\u00e9".join(["/", ""])),
        (rb"/\xff", "/\ufffd"),
        (rb"/\x00", "/\0"),
        ("/\u00e9".encode(), "/\u00e9"),
        (b"/caf\xe9", "/caf\ufffd"),
        (b"-", None),
        (rb"\x2d", "-"),
        (b"(empty)", ""),
        (rb"\x5c\x5cx", "\\\\x"),
        (b"a\0b", "a\0b"),
    ],
)
def test_escapes_and_odd_bytes(written: bytes, expected: str | None) -> None:
    data = text_log("http", [http(uri="@@")]).replace(b"@@", written)
    (row,), reader = read(data)
    assert row["uri"] == expected
    assert not reader.counts.rejected


texts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(
    st.lists(st.tuples(texts, texts, st.lists(st.text("abc,\t|\\", min_size=1), max_size=3)), min_size=1, max_size=5)
)
@settings(deadline=None, max_examples=150)
def test_what_is_written_is_read(rows: list[tuple[str, str, list[str]]]) -> None:
    records = [
        http(f"C{n}", 1, n, uri=uri, user_agent=agent, resp_mime_types=kinds)
        for n, (uri, agent, kinds) in enumerate(rows)
    ]
    found, reader = read(text_log("http", records))
    assert not reader.counts.rejected
    for row, (uri, agent, kinds) in zip(found, rows, strict=True):
        assert (row["uri"], row["user_agent"]) == (uri, agent)
        assert row["content_type"] == (kinds[0] if kinds else None)


def test_text_and_json_of_one_log_give_the_same_sessions() -> None:
    records = [http("C1", 1, 0.25, uri="/\\x41\t"), http("C2", 2, 7.000001, status_code=None, resp_mime_types=[])]
    assert [told(row) for row in read(text_log("http", records))[0]] == [
        told(row) for row in read(json_log(records))[0]
    ]


# --- JSON as others write it


@pytest.mark.parametrize(
    ("change", "column", "value"),
    [
        ({"ts": "2026-03-01T12:00:00.615923Z"}, "start", START + 615_923),
        ({"ts": int(zeek_logs.BEGAN * 1000) + 7}, "start", START + 7_000),
        ({"ts": 29.868252}, "start", 29_868_252),
        ({"_path": "http", "_write_ts": "2026-03-01T12:00:00Z"}, "uid", "C1"),
        ({"@stream": "http", "@system": "a"}, "uid", "C1"),
        ({"status_code": "404"}, "status", 404),
        ({"status_code": -1}, "status", None),
        ({"trans_depth": None, "_path": "http"}, "tx_id", None),
        ({"trans_depth": 0}, "tx_id", None),
        ({"host": ["a.example"]}, "host", "a.example"),
        ({"uri": {"a": 1}}, "uri", None),
        ({"method": "CONNECT", "uri": "a.example:443"}, "uri", "a.example:443"),
        ({"uri": "http://a.example/x"}, "uri", "http://a.example/x"),
        ({"id.orig_h": "2001:db8::7"}, "src_ip", "2001:db8::7"),
        ({"id.orig_p": 70_000}, "src_port", None),
        ({"user_agent": "\ud800"}, "user_agent", "\ufffd"),
    ],
)
def test_odd_types_and_other_writers_are_forgiven(change: dict[str, Any], column: str, value: Any) -> None:
    (row,), reader = read(json_log([http() | change]))
    assert not reader.counts.rejected
    assert row[column] == value


def test_names_may_be_flat_or_nested() -> None:
    flat = {name.replace(".", "_"): value for name, value in http("C1").items()}
    nested = {name: value for name, value in http("C2").items() if not name.startswith("id.")}
    nested["id"] = {"orig_h": "10.0.0.7", "orig_p": 49152, "resp_h": "192.0.2.8", "resp_p": 80}
    certificate = {name.replace(".", "_"): value for name, value in x509().items()}
    companions = Companions()
    read(json_log([conn("C1"), conn("C2"), certificate]), companions)
    found, _ = read(json_log([flat, nested]), companions)
    assert [(row["dst_ip"], row["dst_port"], row["bytes_to_server"]) for row in found] == [("192.0.2.8", 80, 700)] * 2
    (row,), _ = read(json_log([ssl()]), companions)
    assert row["cert_serial"] == "96DF"


json_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.text())


names = st.sampled_from(sorted({*zeek.HTTP_NAMES, *zeek.SSL_NAMES}))


@given(st.dictionaries(names, json_values), st.sampled_from(["http", "ssl", "conn"]))
@settings(deadline=None, max_examples=200)
def test_no_value_breaks_a_row(change: dict[str, Any], kind: str) -> None:
    record = {"http": http(), "ssl": ssl(), "conn": conn()}[kind] | change | {"_path": kind}
    found, reader = read(json_log([http("C2") | {"ts": 1.0}, record]))
    assert reader.counts.lines == 2
    assert len(found) + sum(reader.counts.other.values()) + reader.counts.rejected == 2
    for row in found:
        for value in told(row).values():
            if isinstance(value, str):
                value.encode()
            elif not isinstance(value, list):
                assert -(2**63) <= value < 2**63


# --- lines and files that are odd


def test_lines_that_are_no_records_are_set_aside_and_the_rest_is_kept() -> None:
    data = text_log("http", [http("C1"), http("C2", 1, 1)])
    lines = data.splitlines()
    torn = lines[-2][:30]
    data = b"\n".join([*lines[:-1], torn, lines[-2], b"", b"\0\0", lines[-1]])
    found, reader = read(data)
    assert [row["uid"] for row in found] == ["C1", "C2"]
    assert dict(reader.counts.reasons) == {
        "4 values, expected 17 as the #fields line names": 1,
        "the same line twice": 1,
    }
    assert reader.counts.lines == 4


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ts": "XXXXXXXXXX.XXXXXX"}, "ts is no time, expected seconds since 1970 or ISO 8601"),
        ({"ts": None}, "ts is no time, expected seconds since 1970 or ISO 8601"),
        ({"ts": -5.0}, "ts is no time, expected seconds since 1970 or ISO 8601"),
        ({"uid": None}, "uid is missing"),
    ],
)
def test_a_session_without_time_or_uid_is_rejected(change: dict[str, Any], reason: str) -> None:
    found, reader = read(text_log("http", [http("C1"), http("C2") | change]))
    assert [row["uid"] for row in found] == ["C1"]
    assert dict(reader.counts.reasons) == {reason: 1}


def test_what_was_set_aside_of_a_text_log_is_a_log_again() -> None:
    data = text_log("http", [http("C1"), http("C2", ts="never"), http("C3", ts="never")])
    _, reader = read(data)
    again = b"".join(one.data + b"\n" for one in reader.rejected).replace(b"never", b"5.25")
    found, _ = read(again)
    assert [(row["uid"], row["start"]) for row in found] == [("C2", 5_250_000), ("C3", 5_250_000)]


def test_broken_json_lines_are_set_aside() -> None:
    data = json_log([http("C1")]) + b'{"ts":1,"uid":\n' + json_log([{"event_type": "http"}, {"a": 1}]) + b"plain\n"
    found, reader = read(data)
    assert len(found) == 1
    assert dict(reader.counts.reasons) == {
        "broken or torn JSON": 1,
        "no record of Zeek: no ts": 2,
        "a value line before any #fields line": 1,
    }


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm() -> None:
    for data in (text_log("http", [http("C1"), http("C2", 1, 1)]), json_log([http("C1"), http("C2", 1, 1)])):
        found, reader = read(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))
        assert [row["content_type"] for row in found] == ["text/html"] * 2
        assert not reader.counts.rejected
        assert b"".join(row["raw"] + b"\n" for row in found) in data.replace(b"\n", b"\r\n")


def test_a_truncated_gzip_keeps_its_good_lines() -> None:
    data = text_log("http", [http(f"C{random.Random(n).getrandbits(90)}", 1, n) for n in range(3000)])
    packed = gzip.compress(data)
    found, reader = read(packed[: len(packed) // 2])
    assert 500 < len(found) < 2500
    assert reader.counts.reasons["gzip data ends too early"] == 1


def test_a_line_beyond_the_limit_is_cut_and_set_aside() -> None:
    found, reader = read(text_log("http", [http("C1"), http("C2", uri="a" * 2_000_000), http("C3")]), max_line=1 << 20)
    assert [row["uid"] for row in found] == ["C1", "C3"]
    assert dict(reader.counts.reasons) == {"line longer than 1048576 bytes": 1}


def test_logs_of_other_kinds_are_counted() -> None:
    data = text_log("dns", [{"ts": 1.0, "uid": "C1", "query": "a"}] * 3)
    found, reader = read(data)
    assert (found, dict(reader.counts.other), reader.counts.rejected) == ([], {"dns": 3}, 0)
    _, reader = read(json_log([{"ts": 1.0, "machine": "I386", "id": "F"}]))
    assert dict(reader.counts.other) == {"unknown": 1}
    sip = http() | {"call_id": "7", "request_from": "a"}
    _, reader = read(json_log([sip]))
    assert dict(reader.counts.other) == {"unknown": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"ts\tuid\tmethod\n1.0\tC1\tGET\n",
        b"#!/bin/sh\necho\n",
        b"# a comment\na,b\n",
        json_log([eve.http()]),
        b'{"timestamp":"2026-03-01","uid":"C1"}\n',
        b"",
        b"\x89PNG\r\n",
    ],
)
def test_what_is_no_zeek_log_goes_to_the_reader_that_says_so(data: bytes) -> None:
    assert isinstance(open_log(io.BytesIO(data)), Reader)


some_line = st.binary(max_size=60) | st.sampled_from(
    (text_log("http", [http(), http("C2")]) + json_log([http("J1"), conn("J1"), ssl("J2")]) + b"#").splitlines()
)


@given(st.lists(some_line, max_size=15), st.integers(1, 300))
@settings(deadline=None, max_examples=200)
def test_no_bytes_break_the_reader_and_none_are_lost(lines: list[bytes], cut: int) -> None:
    data = b"#separator \\x09\n" + text_log("http", [http("C0")]) + b"\n".join(lines)
    found, reader = read(data)
    counts = reader.counts
    assert reader.digest == hashlib.sha256(data).hexdigest()
    assert counts.http + counts.tls == len(found)
    assert counts.lines == len(found) + sum(counts.other.values()) + counts.rejected
    assert len(list(reader.rejected)) == counts.rejected
    list(open_log(io.BytesIO(gzip.compress(data)[:-cut])))  # any cut


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1.5", 1_500_000), ("1655071298.201945", 1_655_071_298_201_945), (1517336154.078555, 1_517_336_154_078_555),
     ("0", 0), ("1655071298.2019459", 1_655_071_298_201_945), (1517336154078, 1_517_336_154_078_000)],
)  # fmt: skip
def test_times(value: Any, expected: int) -> None:
    assert zeek.time_of(value) == expected


@pytest.mark.parametrize("value", ["", "x", "1e9", "-1", True, None, float("inf"), "9" * 30, [1]])
def test_what_is_no_time_is_refused(value: Any) -> None:
    with pytest.raises(BadRecordError, match="ts"):
        zeek.time_of(value)


@pytest.mark.parametrize(
    ("one", "kind", "other", "other_kind", "alike"),
    [
        ("http.log", "http", "conn.log", "conn", True),
        ("http.log.gz", "http", "conn.log", "conn", True),
        ("NASHUA_ssl.log", "ssl", "NASHUA_x509.log.gz", "x509", True),
        ("NASHUA_ssl.log", "ssl", "SCRANTON_x509.log", "x509", False),
        ("http.2018-01-01-00-00-00-01-00-00.log", "http", "conn.2018-01-01-00-00-00-01-00-00.log.gz", "conn", True),
        ("http.00:00:00-01:00:00.log", "http", "conn.01:00:00-02:00:00.log", "conn", False),
        ("http.log.labeled", "http", "conn.log.labeled", "conn", True),
        ("http_20180101.json", "http", "ssl_20180101.json", "ssl", True),
    ],
)
def test_names_tell_the_set(one: str, kind: str, other: str, other_kind: str, alike: bool) -> None:
    assert (zeek.name_in_set(one, kind) == zeek.name_in_set(other, other_kind)) is alike


def test_a_name_without_its_kind_is_of_no_set() -> None:
    assert zeek.name_in_set("https.log", "http") is None
    assert zeek.name_in_set("a.json", "conn") is None


# --- the companions


def test_companions_are_found_however_many_and_the_last_one_told_stays() -> None:
    companions = Companions()
    for number in range(30_000):
        companions.add_connection(number, (number, None, 1, 2, 3, 4, None))
    companions.add_connection(7, (70, None, 1, 2, 3, 4, None))
    assert [flow[0] for flow in companions.flows([29_999, 7, -1, 7])] == [29_999, 70, None, 70]
    companions.add_connection(-1, (5, None, None, None, None, None, "1:a"))
    assert companions.flows([-1])[0][0] == 5
    assert companions.certificates([(None, None), ("x", None)]) == [(None,) * 7] * 2


# --- real logs


def test_real_logs_give_what_plain_reading_counts(shared_data: Path) -> None:
    seen: Counter[str] = Counter()
    for path in sorted((shared_data / "zeek").glob("*/*")):
        if path.parent.name == "btest-baselines":
            continue
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
        lines = [line for line in data.decode().split("\n") if line and not line.lstrip().startswith("#")]
        twice = len(lines) - len(set(lines))
        _, reader = read(data)
        counts = reader.counts
        assert counts.lines == len(lines), path
        kind = next((word for word in ("http", "ssl", "conn", "x509") if word in path.name), None)
        if kind == "http":
            assert counts.http == len(lines), path
        elif kind == "ssl":
            assert counts.tls == len(lines) - twice, path
            assert dict(counts.reasons) == ({"the same line twice": twice} if twice else {}), path
        elif path.name.startswith("combined"):
            kinds = Counter(json.loads(line)["@stream"] for line in lines)
            assert (counts.http, counts.tls, counts.rejected) == (kinds.pop("http"), kinds.pop("ssl"), 0)
            assert counts.other == kinds
        else:
            assert (counts.http, counts.tls, counts.rejected) == (0, 0, 0), path
            assert sum(counts.other.values()) == len(lines), path
            assert kind is None or not lines or dict(counts.other) == {kind: len(lines)}, path
        seen[kind or "other"] += len(lines)
    assert seen["http"] > 29_000 and seen["ssl"] > 101_000 and seen["conn"] > 14_000
