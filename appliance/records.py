"""The short way from a parsed EVE record to the columns a model reads."""

from __future__ import annotations

from typing import Any

from detection.sessions import Row
from detection.sources import certificates
from detection.sources.suricata import FLOW_FIELDS, flow_end, session_row
from detection.sources.values import decode_uri, joined, micros, optional_micros

_TEXT = (str, type(None))
_NUMBER = (int, type(None))
_INT64_MAX = 2**63 - 1
_NO_FLOW = dict.fromkeys(FLOW_FIELDS)


def model_row(record: dict[str, Any], flow: dict[str, Any] | None = None) -> Row:
    """Return what `session_row` would say about the columns a model reads; sizes and duration come with a flow record.

    A plain record needs no more than a look at its types, a third of the time of the whole row; anything odd (HTTP/2,
    repeated headers, numbers as texts, values out of range) goes through `session_row`.
    """
    is_tls = record.get("event_type") == "tls"
    row = _tls_row(record) if is_tls else _http_row(record)
    if row is None:
        row = session_row(record)
    if flow is not None:
        row |= _end_of(flow)
    elif is_tls:
        row |= _NO_FLOW
    return row


def _http_row(record: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row of a plain http record."""
    http = record.get("http")
    if http.__class__ is not dict or "http2" in http or "version" in http or record.get("app_proto") == "http2":
        return None
    get = http.get
    uri, host, user_agent, referer = get("url"), get("hostname"), get("http_user_agent"), get("http_refer")
    content_type, method = get("http_content_type"), get("http_method")
    status, size, port = get("status"), get("length"), record.get("dest_port")
    if not (
        uri.__class__ in _TEXT
        and host.__class__ in _TEXT
        and user_agent.__class__ in _TEXT
        and referer.__class__ in _TEXT
        and content_type.__class__ in _TEXT
        and method.__class__ in _TEXT
        and status.__class__ in _NUMBER
        and size.__class__ in _NUMBER
        and port.__class__ in _NUMBER
        and 0 <= (status or 0) <= 99_999
        and 0 <= (size or 0) <= _INT64_MAX
        and 0 <= (port or 0) <= 65_535
    ):
        return None
    return {
        "uri": uri,
        "host": host,
        "user_agent": user_agent,
        "uri_decoded": decode_uri(uri),
        "referer": referer,
        "content_type": content_type,
        "method": method,
        "status": status,
        "response_bytes": size,
        "dst_port": port,
    }


def _tls_row(record: dict[str, Any]) -> dict[str, Any] | None:
    """Return the row of a plain tls record, without what its flow tells."""
    tls, at, port = record.get("tls"), record.get("timestamp"), record.get("dest_port")
    if tls.__class__ is not dict or at.__class__ is not str:
        return None
    get = tls.get
    host, subject, issuer, version = get("sni"), get("subject"), get("issuerdn"), get("version")
    before, after, ja4 = get("notbefore"), get("notafter"), get("ja4")
    ja3, ja3s = get("ja3"), get("ja3s")
    ja3 = ja3.get("hash") if ja3.__class__ is dict else ja3
    ja3s = ja3s.get("hash") if ja3s.__class__ is dict else ja3s
    if not (
        host.__class__ in _TEXT
        and subject.__class__ in _TEXT
        and issuer.__class__ in _TEXT
        and version.__class__ in _TEXT
        and before.__class__ in _TEXT
        and after.__class__ in _TEXT
        and ja4.__class__ in _TEXT
        and ja3.__class__ in _TEXT
        and ja3s.__class__ in _TEXT
        and port.__class__ in _NUMBER
        and 0 <= (port or 0) <= 65_535
        and record.get("flow_id").__class__ is int
        and 0 <= record["flow_id"] <= _INT64_MAX
    ):
        return None
    names, asked = get("subjectaltname"), get("client_alpns")
    alpn = None if asked is None else joined(asked)
    if not alpn:
        alpn = None if (agreed := get("server_alpns")) is None else joined(agreed)
    return {
        "host": host,
        "cert_subject": subject,
        "cert_issuer": issuer,
        "cert_names": None if names is None else joined(names),
        "alpn": alpn,
        "ja3": ja3,
        "ja3s": ja3s,
        "ja4": ja4,
        "tls_version": certificates.version(version),
        "cipher": None,  # Suricata tells none
        "dst_port": port,
        "session_resumed": 1 if get("session_resumed") is True else 0,
        "start": micros(at),
        "cert_not_before": certificates.time(before),
        "cert_not_after": certificates.time(after),
    }


def _end_of(flow: dict[str, Any]) -> Row:
    """Return what a flow record tells of how its flow ended."""
    told = flow.get("flow")
    if told.__class__ is dict:
        get = told.get
        up, down, sent, answered = (
            get("bytes_toserver"), get("bytes_toclient"), get("pkts_toserver"), get("pkts_toclient"),
        )  # fmt: skip
        if (
            up.__class__ in _NUMBER
            and down.__class__ in _NUMBER
            and sent.__class__ in _NUMBER
            and answered.__class__ in _NUMBER
            and 0 <= (up or 0) <= _INT64_MAX
            and 0 <= (down or 0) <= _INT64_MAX
            and 0 <= (sent or 0) <= _INT64_MAX
            and 0 <= (answered or 0) <= _INT64_MAX
        ):
            return {
                "flow_start": optional_micros(get("start")),
                "flow_end": optional_micros(get("end")),
                "bytes_to_server": up,
                "bytes_to_client": down,
                "packets_to_server": sent,
                "packets_to_client": answered,
            }
    return flow_end(flow)
