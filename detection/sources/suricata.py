"""Suricata EVE JSON: records → sessions with their rule hits. Light: the appliance maps its records here too.

Two ways lead to one row. `session_row` maps a parsed record and forgives odd types; the `Reader` decodes lines straight
into typed structs and falls back to `session_row` where a line is unusual. A test holds both to the same answer.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from detection.sessions import COLUMN_NAMES, FLOW, TRANSACTION
from detection.sources import certificates
from detection.sources.values import (
    INT64_MAX,
    BadRecordError,
    decode_uri,
    joined,
    micros,
    number_of,
    optional_micros,
    parse_line,
    text_of,
)

# --- one parsed record → one row -----------------------------------------------------------------------------------


_EMPTY_ROW = dict.fromkeys(COLUMN_NAMES)


def session_row(record: dict[str, Any]) -> dict[str, Any]:
    """Return the session of one parsed EVE http or tls record, without what other records tell (flow, file, hits).

    Odd types are forgiven (a status as text, repeated headers as a list); `BadRecordError` without time or flow number.
    """
    return _tls_row(record) if record.get("event_type") == "tls" else _http_row(record)


def _http_row(record: dict[str, Any]) -> dict[str, Any]:
    http = record.get("http")
    if http is None:
        http = {}
    if not isinstance(http, dict):
        raise BadRecordError("http is no object")
    is_http2 = text_of(http.get("version")) == "2" or "http2" in http or record.get("app_proto") == "http2"
    uri, host = text_of(http.get("url")), text_of(http.get("hostname"))
    method, status = text_of(http.get("http_method")), number_of(http.get("status"), 0, 99_999)
    user_agent, referer = text_of(http.get("http_user_agent")), text_of(http.get("http_refer"))
    content_type = text_of(http.get("http_content_type"))
    if is_http2 and uri is None:  # HTTP/2 as some sensors write it: everything in header arrays
        request, response = _headers(http, "request"), _headers(http, "response")
        uri, host = request.get(":path"), host or request.get(":authority") or request.get("host")
        method, user_agent = method or request.get(":method"), user_agent or request.get("user-agent")
        referer = referer or request.get("referer")
        status = number_of(response.get(":status"), 0, 99_999) if status is None else status
        content_type = content_type or response.get("content-type")
    return _EMPTY_ROW | {
        **_common(record, "http"),
        "tx_id": number_of(record.get("tx_id")),
        "app_proto": text_of(record.get("app_proto")) or ("http2" if is_http2 else "http"),
        "host": host,
        "method": method,
        "uri": uri,
        "uri_decoded": decode_uri(uri),
        "user_agent": user_agent,
        "referer": referer,
        "http_version": "HTTP/2" if is_http2 else text_of(http.get("protocol")),
        "status": status,
        "content_type": content_type,
        "response_bytes": number_of(http.get("length"), 0),
    }


def _tls_row(record: dict[str, Any]) -> dict[str, Any]:
    tls = record.get("tls")
    if tls is None:
        tls = {}
    if not isinstance(tls, dict):
        raise BadRecordError("tls is no object")
    resumed = tls.get("session_resumed")
    return _EMPTY_ROW | {
        **_common(record, "tls"),
        "tx_id": number_of(record.get("tx_id"), 0) or 0,
        "app_proto": "tls",
        "host": text_of(tls.get("sni")),
        "tls_version": certificates.version(text_of(tls.get("version"))),
        "ja3": _hash(tls.get("ja3")),
        "ja3s": _hash(tls.get("ja3s")),
        "ja4": text_of(tls.get("ja4")),
        "alpn": joined(tls.get("client_alpns")) or joined(tls.get("server_alpns")),
        "session_resumed": int(resumed is True),
        "cert_subject": text_of(tls.get("subject")),
        "cert_issuer": text_of(tls.get("issuerdn")),
        "cert_serial": certificates.serial(text_of(tls.get("serial"))),
        "cert_sha1": certificates.sha1(text_of(tls.get("fingerprint"))),
        "cert_not_before": certificates.time(text_of(tls.get("notbefore"))),
        "cert_not_after": certificates.time(text_of(tls.get("notafter"))),
        "cert_names": joined(tls.get("subjectaltname")),
    }


def _common(record: dict[str, Any], protocol: str) -> dict[str, Any]:
    """Return what a session of either protocol has."""
    return {
        "start": _required_time(record.get("timestamp")),
        "flow_id": flow_in(record),
        "protocol": protocol,
        "src_ip": text_of(record.get("src_ip")),
        "src_port": number_of(record.get("src_port"), 0, 65_535),
        "dst_ip": text_of(record.get("dest_ip")),
        "dst_port": number_of(record.get("dest_port"), 0, 65_535),
        "community_id": text_of(record.get("community_id")),
        "capture": text_of(record.get("pcap_filename")),
        "flow_sessions": 1,
        "hits": [],
    }


def _hash(value: Any) -> str | None:
    """Return a JA3 that is an object with its hash, or the bare hash."""
    return text_of(value.get("hash")) if isinstance(value, dict) else text_of(value)


def _headers(http: dict[str, Any], side: str) -> dict[str, str]:
    """Return the headers of one side, names lowered, the first of each name."""
    found = http.get(f"{side}_headers")
    if found is None and isinstance(http.get("http2"), dict):
        part = http["http2"].get(side)
        found = part.get("headers") if isinstance(part, dict) else None
    pairs: list[tuple[Any, Any]] = []
    if isinstance(found, dict):
        pairs = list(found.items())
    elif isinstance(found, list):
        pairs = [(one.get("name"), one.get("value")) for one in found if isinstance(one, dict)]
    headers: dict[str, str] = {}
    for name, value in pairs:
        text = text_of(value)
        if isinstance(name, str) and text is not None:
            headers.setdefault(name.lower(), text)
    return headers


def _required_time(value: Any) -> int:
    if not isinstance(value, str):
        raise BadRecordError("timestamp is missing")
    return micros(value)


def flow_in(record: dict[str, Any]) -> int:
    """Return the flow number of a parsed record."""
    flow_id = number_of(record.get("flow_id"), 0)
    if flow_id is None:
        raise BadRecordError("flow_id is missing or no number")
    return flow_id


# --- rule hits, flows, files ---------------------------------------------------------------------------------------


def hit_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return the rule hit of one parsed EVE alert record; `BadRecordError` without a signature number."""
    told = record.get("alert")
    if not isinstance(told, dict):
        raise BadRecordError("alert is no object")
    sid = number_of(told.get("signature_id"), 0)
    if sid is None:
        raise BadRecordError("alert.signature_id is missing or no number")
    return {
        "sid": sid,
        "gid": number_of(told.get("gid")),
        "rev": number_of(told.get("rev")),
        "signature": text_of(told.get("signature")),
        "category": text_of(told.get("category")),
        "severity": number_of(told.get("severity")),
        "action": text_of(told.get("action")),
        "scope": FLOW if number_of(record.get("tx_id")) is None else TRANSACTION,
    }


FLOW_FIELDS = ("flow_start", "flow_end", "bytes_to_server", "bytes_to_client", "packets_to_server", "packets_to_client")
FILE_FIELDS = ("file_magic", "file_bytes", "file_sha256")


def flow_end(record: dict[str, Any]) -> dict[str, int | None]:
    """Return what one parsed EVE flow record adds to the sessions of its flow: `FLOW_FIELDS` by name."""
    return dict(zip(FLOW_FIELDS, flow_values(record), strict=True))


def flow_values(record: dict[str, Any]) -> tuple[int | None, ...]:
    """Return `FLOW_FIELDS` of one parsed EVE flow record."""
    told = record.get("flow")
    if not isinstance(told, dict):
        raise BadRecordError("flow is no object")
    return (
        optional_micros(told.get("start")),
        optional_micros(told.get("end")),
        number_of(told.get("bytes_toserver"), 0),
        number_of(told.get("bytes_toclient"), 0),
        number_of(told.get("pkts_toserver"), 0),
        number_of(told.get("pkts_toclient"), 0),
    )


def file_values(record: dict[str, Any]) -> tuple[int | None, tuple[Any, ...]]:
    """Return the transaction and `FILE_FIELDS` of one parsed EVE fileinfo record."""
    told = record.get("fileinfo")
    if not isinstance(told, dict):
        raise BadRecordError("fileinfo is no object")
    tx_id = number_of(told.get("tx_id", record.get("tx_id")))
    return tx_id, (text_of(told.get("magic")), number_of(told.get("size"), 0), text_of(told.get("sha256")))


# --- typed decoding, the fast way ----------------------------------------------------------------------------------

_Natural = Annotated[int, msgspec.Meta(ge=0, le=INT64_MAX)]
_Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
_Status = Annotated[int, msgspec.Meta(ge=0, le=99_999)]
_Severity = Annotated[int, msgspec.Meta(ge=-INT64_MAX - 1, le=INT64_MAX)]


class HttpPart(msgspec.Struct, gc=False):
    hostname: str | None = None
    url: str | None = None
    http_user_agent: str | None = None
    http_refer: str | None = None
    http_method: str | None = None
    http_content_type: str | None = None
    protocol: str | None = None
    version: str | None = None
    http2: msgspec.Raw = msgspec.Raw()  # only whether it is there
    status: _Status | None = None
    length: _Natural | None = None


class HttpRecord(msgspec.Struct, gc=False, tag_field="event_type", tag="http"):
    timestamp: str
    flow_id: _Natural
    http: HttpPart
    tx_id: _Natural | None = None
    app_proto: str | None = None
    src_ip: str | None = None
    src_port: _Port | None = None
    dest_ip: str | None = None
    dest_port: _Port | None = None
    community_id: str | None = None
    pcap_filename: str | None = None


class HashPart(msgspec.Struct, gc=False):
    hash: str | None = None


class TlsPart(msgspec.Struct, gc=False):
    sni: str | None = None
    version: str | None = None
    ja3: HashPart | str | None = None
    ja3s: HashPart | str | None = None
    ja4: str | None = None
    client_alpns: list[str] | None = None
    server_alpns: list[str] | None = None
    session_resumed: bool | None = None
    subject: str | None = None
    issuerdn: str | None = None
    serial: str | None = None
    fingerprint: str | None = None
    notbefore: str | None = None
    notafter: str | None = None
    subjectaltname: list[str] | None = None


class TlsRecord(msgspec.Struct, gc=False, tag_field="event_type", tag="tls"):
    timestamp: str
    flow_id: _Natural
    tls: TlsPart
    tx_id: _Natural | None = None
    src_ip: str | None = None
    src_port: _Port | None = None
    dest_ip: str | None = None
    dest_port: _Port | None = None
    community_id: str | None = None
    pcap_filename: str | None = None


class HitPart(msgspec.Struct, gc=False):
    signature_id: _Natural
    gid: _Natural | None = None
    rev: _Natural | None = None
    signature: str | None = None
    category: str | None = None
    severity: _Severity | None = None
    action: str | None = None


class HitRecord(msgspec.Struct, gc=False, tag_field="event_type", tag="alert"):
    flow_id: _Natural
    alert: HitPart
    tx_id: _Natural | None = None
    app_proto: str | None = None


class FlowPart(msgspec.Struct, gc=False):
    start: str | None = None
    end: str | None = None
    bytes_toserver: _Natural | None = None
    bytes_toclient: _Natural | None = None
    pkts_toserver: _Natural | None = None
    pkts_toclient: _Natural | None = None


class FlowRecord(msgspec.Struct, gc=False, tag_field="event_type", tag="flow"):
    flow: FlowPart


class FilePart(msgspec.Struct, gc=False):
    tx_id: _Natural | None = None
    magic: str | None = None
    size: _Natural | None = None
    sha256: str | None = None


class FileRecord(msgspec.Struct, gc=False, tag_field="event_type", tag="fileinfo"):
    fileinfo: FilePart
    tx_id: _Natural | None = None


# what one http record tells; the rest of a row comes from other records when they are joined
TOLD = (
    "start", "flow_id", "tx_id", "protocol", "app_proto", "src_ip", "src_port", "dst_ip", "dst_port", "community_id",
    "host", "method", "uri", "uri_decoded", "user_agent", "referer", "http_version", "status", "content_type",
    "response_bytes", "capture",
)  # fmt: skip
# and one tls record
TLS_TOLD = (
    "start", "flow_id", "tx_id", "protocol", "app_proto", "src_ip", "src_port", "dst_ip", "dst_port", "community_id",
    "host", "tls_version", "ja3", "ja3s", "ja4", "alpn", "session_resumed", "cert_subject", "cert_issuer",
    "cert_serial", "cert_sha1", "cert_not_before", "cert_not_after", "cert_names", "capture",
)  # fmt: skip
Told = tuple[Any, ...]

_decode_http = msgspec.json.Decoder(HttpRecord).decode
_decode_tls = msgspec.json.Decoder(TlsRecord).decode
_decode_hit = msgspec.json.Decoder(HitRecord).decode
_decode_flow = msgspec.json.Decoder(FlowRecord).decode
_decode_file = msgspec.json.Decoder(FileRecord).decode
_UNUSUAL = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def told_by(line: bytes) -> Told | None:
    """Return the values of `TOLD` for one http line; None when it is unusual: ask `parse_line` and `told_in`."""
    try:
        record = _decode_http(line)
    except _UNUSUAL:
        return None
    http = record.http
    app_proto = record.app_proto
    if http.version == "2" or len(http.http2) or app_proto == "http2":
        if http.url is None:
            return None
        version: str | None = "HTTP/2"
        app_proto = app_proto or "http2"
    else:
        version = http.protocol
        app_proto = app_proto or "http"
    uri = http.url
    return (
        micros(record.timestamp), record.flow_id, record.tx_id, "http", app_proto, record.src_ip, record.src_port,
        record.dest_ip, record.dest_port, record.community_id, http.hostname, http.http_method,
        uri, decode_uri(uri), http.http_user_agent, http.http_refer, version, http.status,
        http.http_content_type, http.length, record.pcap_filename,
    )  # fmt: skip


def tls_told_by(line: bytes) -> Told | None:
    """Return the values of `TLS_TOLD` for one tls line; None when it is unusual: ask `parse_line` and `told_in`."""
    try:
        record = _decode_tls(line)
    except _UNUSUAL:
        return None
    tls = record.tls
    ja3, ja3s = tls.ja3, tls.ja3s
    return (
        micros(record.timestamp), record.flow_id, record.tx_id or 0, "tls", "tls", record.src_ip, record.src_port,
        record.dest_ip, record.dest_port, record.community_id, tls.sni, certificates.version(tls.version),
        ja3.hash if isinstance(ja3, HashPart) else ja3, ja3s.hash if isinstance(ja3s, HashPart) else ja3s, tls.ja4,
        joined(tls.client_alpns) or joined(tls.server_alpns), int(tls.session_resumed is True),
        tls.subject, tls.issuerdn, certificates.serial(tls.serial), certificates.sha1(tls.fingerprint),
        certificates.time(tls.notbefore), certificates.time(tls.notafter), joined(tls.subjectaltname),
        record.pcap_filename,
    )  # fmt: skip


def told_in(record: dict[str, Any]) -> Told:
    """Return the values of `TOLD` for one parsed http record, of `TLS_TOLD` for a tls one."""
    row = session_row(record)
    return tuple(row[name] for name in (TOLD if row["protocol"] == "http" else TLS_TOLD))


class Hit:
    """A rule hit that waits for its session."""

    __slots__ = ("app_proto", "flow_id", "is_joined", "line", "tx_id", "value")

    def __init__(
        self, line: bytes, *, flow_id: int, tx_id: int | None, app_proto: str | None, value: dict[str, Any]
    ) -> None:
        self.line = line
        self.flow_id = flow_id
        self.tx_id = tx_id
        self.app_proto = app_proto
        self.value = value  # HIT_FIELDS
        self.is_joined = False

    def join(self) -> None:
        """Note that the session was found; the line is kept for those without one."""
        self.is_joined = True
        self.line = b""


def hit_told_by(line: bytes) -> Hit | None:
    """Return the hit of one alert line; None when it is unusual: ask `parse_line` and `hit_in`."""
    try:
        record = _decode_hit(line)
    except _UNUSUAL:
        return None
    told = record.alert
    value = {
        "sid": told.signature_id,
        "gid": told.gid,
        "rev": told.rev,
        "signature": told.signature,
        "category": told.category,
        "severity": told.severity,
        "action": told.action,
        "scope": FLOW if record.tx_id is None else TRANSACTION,
    }
    return Hit(line, flow_id=record.flow_id, tx_id=record.tx_id, app_proto=record.app_proto, value=value)


def hit_in(record: dict[str, Any], line: bytes) -> Hit:
    """Return the hit of one parsed alert record."""
    return Hit(
        line,
        value=hit_of(record),
        flow_id=flow_in(record),
        tx_id=number_of(record.get("tx_id")),
        app_proto=text_of(record.get("app_proto")),
    )


def flow_told_by(line: bytes) -> tuple[int | None, ...]:
    """Return `FLOW_FIELDS` of one flow line."""
    try:
        told = _decode_flow(line).flow
    except _UNUSUAL:
        return flow_values(parse_line(line))
    return (
        optional_micros(told.start), optional_micros(told.end), told.bytes_toserver, told.bytes_toclient,
        told.pkts_toserver, told.pkts_toclient,
    )  # fmt: skip


def file_told_by(line: bytes) -> tuple[int | None, tuple[Any, ...]]:
    """Return the transaction and `FILE_FIELDS` of one fileinfo line."""
    try:
        record = _decode_file(line)
    except _UNUSUAL:
        return file_values(parse_line(line))
    told = record.fileinfo
    tx_id = record.tx_id if told.tx_id is None else told.tx_id
    return tx_id, (told.magic, told.size, told.sha256)


# --- what a search for bytes tells about a line ---------------------------------------------------------------------

# Inside a JSON text quotes are escaped, so these patterns cannot occur there.
KIND = b'"event_type":"'
KIND_SPACED = b'"event_type": "'  # as json.dumps of Python writes it
RECORD = b'{"timestamp"'
FLOW_ID = b'"flow_id":'
FLOW_ID_AT = 47  # behind a time stamp of 31 characters, as Suricata writes it
KIND_FROM, KIND_TO = 40, 600
# a second record glued to the first is at least this long, or it is torn itself and says nothing
SHORTEST = 150
_TIME_WRITTEN = re.compile(rb'"timestamp"\s*:\s*"([^"]{1,64})"')


def time_of(line: bytes) -> int | None:
    """Return the time of a line without parsing it, if it can be found."""
    found = _TIME_WRITTEN.search(line, 0, KIND_TO)
    return optional_micros(found[1].decode("ascii", "replace")) if found else None
