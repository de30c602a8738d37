"""TLS connections in EVE: rows, both ways of reading, joined as HTTP is, in chunks of their own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.sessions import COLUMN_NAMES, FLOW, TRANSACTION
from detection.sources import suricata
from detection.sources.suricata import session_row
from detection.sources.values import micros, parse_line
from tests.detection import eve
from tests.detection.test_suricata import json_values


def test_a_record_becomes_a_row_with_every_column() -> None:
    row = session_row(eve.tls(7, second=1.5, pcap_filename="a.pcap"))
    assert tuple(row) == COLUMN_NAMES
    told = {name: value for name, value in row.items() if value not in (None, [])}
    assert told == {
        "start": micros(eve.stamp(1.5)),
        "flow_id": 7,
        "tx_id": 0,
        "protocol": "tls",
        "app_proto": "tls",
        "src_ip": "10.0.0.7",
        "src_port": 49152,
        "dst_ip": "192.0.2.8",
        "dst_port": 443,
        "host": "shop.example",
        "capture": "a.pcap",
        "flow_sessions": 1,
        "tls_version": "TLS 1.2",
        "ja3": "04307588e98e5900d4e7e3830eb705a9",
        "ja3s": "eb1d94daa7e0344597e756a1fb6e7054",
        "ja4": "t13d1516h2_8daaf6152771_e5627efa2ab1",
        "alpn": "h2,http/1.1",
        "session_resumed": 0,
        "cert_subject": "C=US, O=Shop, Inc., CN=shop.example",
        "cert_issuer": "C=US, O=CA, CN=CA 1",
        "cert_serial": "96DF470E",
        "cert_sha1": "f427958425ff187178a947528ec19c6b28e5e4cb",
        "cert_not_before": micros("2024-05-21T00:00:00Z"),
        "cert_not_after": micros("2025-05-21T23:59:59Z"),
    }


@pytest.mark.parametrize(
    ("fields", "column", "value"),
    [
        ({"ja3": "04307588e98e5900d4e7e3830eb705a9"}, "ja3", "04307588e98e5900d4e7e3830eb705a9"),
        ({"ja3": {"string": "771"}}, "ja3", None),
        ({"ja3": 7.5}, "ja3", "7.5"),
        ({"client_alpns": ...}, "alpn", None),
        ({"client_alpns": [], "server_alpns": ["h2"]}, "alpn", "h2"),
        ({"client_alpns": [""], "server_alpns": ["h2"]}, "alpn", "h2"),
        ({"client_alpns": "h3"}, "alpn", "h3"),
        ({"client_alpns": [1, "h2", None]}, "alpn", "h2"),
        ({"subjectaltname": ["a.example", "b.example"]}, "cert_names", "a.example,b.example"),
        ({"session_resumed": True, "subject": ..., "issuerdn": ...}, "session_resumed", 1),
        ({"session_resumed": "yes"}, "session_resumed", 0),
        ({"version": "UNDETERMINED"}, "tls_version", None),
        ({"fingerprint": "ab"}, "cert_sha1", None),
        ({"notafter": "9999-12-31T23:59:59"}, "cert_not_after", micros("9998-12-31T23:59:59Z")),
        ({"notafter": "soon"}, "cert_not_after", None),
        ({"sni": ...}, "host", None),
        ({"sni": "\0"}, "host", "\0"),
    ],
)
def test_what_versions_of_the_sensor_say_in_other_ways(fields: dict[str, Any], column: str, value: Any) -> None:
    (row,), reader = eve.read([eve.tls(tls=fields)])
    assert not reader.counts.rejected
    assert row[column] == value


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"timestamp": ...}, "timestamp is missing"),
        ({"flow_id": ...}, "flow_id is missing or no number"),
        ({"tls": "client hello"}, "tls is no object"),
    ],
)
def test_a_connection_without_time_or_flow_is_rejected(broken: dict[str, Any], reason: str) -> None:
    record = {name: value for name, value in (eve.tls(2) | broken).items() if value is not ...}
    found, reader = eve.read([eve.tls(1), record])
    assert len(found) == 1
    assert dict(reader.counts.reasons) == {reason: 1}
    assert [one.data for one in reader.rejected] == [eve.line(record)]


tls_fields = st.sampled_from(
    ["sni", "version", "ja3", "ja3s", "ja4", "client_alpns", "server_alpns", "session_resumed", "subject", "issuerdn",
     "serial", "fingerprint", "notbefore", "notafter", "subjectaltname"]
)  # fmt: skip
outer_fields = st.sampled_from(["tx_id", "src_ip", "src_port", "dest_ip", "dest_port", "community_id", "pcap_filename"])


@given(st.dictionaries(tls_fields, json_values, max_size=6), st.dictionaries(outer_fields, json_values, max_size=4))
@settings(deadline=None, max_examples=100)
def test_both_ways_of_reading_give_the_same_row(tls: dict[str, Any], outer: dict[str, Any]) -> None:
    line = json.dumps(eve.tls() | outer | {"tls": tls}).encode()
    fast = suricata.tls_told_by(line)
    row = session_row(parse_line(line))
    assert fast is None or fast == tuple(row[name] for name in suricata.TLS_TOLD)
    for name in suricata.TLS_TOLD:
        value = row[name]
        assert value is None or isinstance(value, (str, int))
        if isinstance(value, str):
            value.encode()  # no half surrogate reaches a file
        elif value is not None:
            assert -(2**63) <= value < 2**63


def test_hits_and_flow_are_joined() -> None:
    (row,), reader = eve.read(
        [eve.alert(1, 0, sid=1, app_proto="tls"), eve.tls(1), eve.flow(1), eve.alert(1, None, sid=2)]
    )
    assert [(hit["sid"], hit["scope"]) for hit in row["hits"]] == [(1, TRANSACTION), (2, FLOW)]
    assert (row["bytes_to_server"], row["packets_to_client"]) == (700, 5)
    assert (reader.counts.tls, reader.counts.http, reader.counts.orphan_hits) == (1, 0, 0)


def test_several_connections_on_one_flow_are_sessions_each() -> None:
    found, reader = eve.read([eve.tls(1), eve.tls(1, second=1), eve.tls(1)])
    assert [(row["tx_id"], row["flow_sessions"]) for row in found] == [(0, 2), (0, 2)]
    assert dict(reader.counts.reasons) == {"the same line twice": 1}


def test_after_a_proxy_answered_each_protocol_keeps_its_own() -> None:
    records = [
        eve.http(1, 0, http={"http_method": "CONNECT"}),
        eve.fileinfo(1, 0, size=9),
        eve.tls(1, second=1),
        eve.alert(1, 0, sid=1, app_proto="http"),
        eve.alert(1, 0, sid=2, app_proto="tls"),
        eve.alert(1, None, sid=3),
    ]
    found, _ = eve.read(records)
    http, tls = found
    assert (http["protocol"], tls["protocol"]) == ("http", "tls")
    assert [hit["sid"] for hit in http["hits"]] == [1, 3]
    assert [hit["sid"] for hit in tls["hits"]] == [2, 3]
    assert (http["file_bytes"], tls["file_bytes"]) == (9, None)
    assert {row["flow_sessions"] for row in found} == {2}


def test_a_chunk_holds_one_protocol_and_the_lines_of_its_rows() -> None:
    records = [eve.tls(n) if n % 3 else eve.http(n) for n in range(1000)]
    found, _ = eve.read(records, join_lines=100, chunk_rows=70)
    assert sorted(row["flow_id"] for row in found) == list(range(1000))
    for row in found:
        told = json.loads(row["raw"])
        assert (told["flow_id"], told["event_type"]) == (row["flow_id"], row["protocol"])


def test_a_type_written_last_or_spaced_is_a_connection_too() -> None:
    record = eve.tls(1)
    spaced = json.dumps(record).encode()
    tail = eve.line({name: record[name] for name in record if name != "event_type"} | {"event_type": "tls"})
    odd = eve.line(record).replace(b'"tls",', b'"tls" ,')
    found, reader = eve.read([spaced, tail, odd])
    assert len(found) == 3
    assert reader.counts.tls == 3
