"""Suricata EVE JSON: records → sessions with their rule hits. Light: the appliance maps its records here too.

Two ways lead to one row. `session_row` maps a parsed record and forgives odd types; the `Reader` decodes lines straight
into typed structs and falls back to `session_row` where a line is unusual. A test holds both to the same answer.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import unquote, unquote_plus

import msgspec
import orjson

from detection.sessions import COLUMN_NAMES, FLOW, TRANSACTION
from detection.sources import certificates

INT64_MAX = (1 << 63) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = range(1970, 9999)
_MICROSECOND = timedelta(microseconds=1)


class BadRecordError(ValueError):
    """A line is no usable record; the text says what was expected."""


# --- times ---------------------------------------------------------------------------------------------------------

_second_of: dict[str, int] = {}


def micros(text: str) -> int:
    """Return a time stamp as microseconds since 1970 UTC; any offset is honoured, none means UTC."""
    fraction = text[20:26]
    known = _second_of.get(text[:20] + text[26:])  # holds only the form Suricata writes
    if known is not None and fraction.isdecimal():
        return known + int(fraction)
    if len(text) == 31 and text[19] == "." and fraction.isdecimal():
        if len(_second_of) > 100_000:
            _second_of.clear()
        known = _second_of[text[:20] + text[26:]] = _parse_time(text[:19] + text[26:])
        return known + int(fraction)
    return _parse_time(text)


def _parse_time(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadRecordError("timestamp is no ISO 8601 time") from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    if time.year not in _YEARS:
        raise BadRecordError("timestamp lies outside the years 1970 to 9998")
    return (time - _EPOCH) // _MICROSECOND


def optional_micros(value: Any) -> int | None:
    """Return a time stamp that may be missing or odd: the session is worth keeping without it."""
    if not isinstance(value, str):
        return None
    try:
        return micros(value)
    except BadRecordError:
        return None


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
    is_http2 = _text(http.get("version")) == "2" or "http2" in http or record.get("app_proto") == "http2"
    uri, host = _text(http.get("url")), _text(http.get("hostname"))
    method, status = _text(http.get("http_method")), _number(http.get("status"), 0, 99_999)
    user_agent, referer = _text(http.get("http_user_agent")), _text(http.get("http_refer"))
    content_type = _text(http.get("http_content_type"))
    if is_http2 and uri is None:  # HTTP/2 as some sensors write it: everything in header arrays
        request, response = _headers(http, "request"), _headers(http, "response")
        uri, host = request.get(":path"), host or request.get(":authority") or request.get("host")
        method, user_agent = method or request.get(":method"), user_agent or request.get("user-agent")
        referer = referer or request.get("referer")
        status = _number(response.get(":status"), 0, 99_999) if status is None else status
        content_type = content_type or response.get("content-type")
    return _EMPTY_ROW | {
        **_common(record, "http"),
        "tx_id": _number(record.get("tx_id")),
        "app_proto": _text(record.get("app_proto")) or ("http2" if is_http2 else "http"),
        "host": host,
        "method": method,
        "uri": uri,
        "uri_decoded": decode_uri(uri),
        "user_agent": user_agent,
        "referer": referer,
        "http_version": "HTTP/2" if is_http2 else _text(http.get("protocol")),
        "status": status,
        "content_type": content_type,
        "response_bytes": _number(http.get("length"), 0),
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
        "tx_id": _number(record.get("tx_id"), 0) or 0,
        "app_proto": "tls",
        "host": _text(tls.get("sni")),
        "tls_version": certificates.version(_text(tls.get("version"))),
        "ja3": _hash(tls.get("ja3")),
        "ja3s": _hash(tls.get("ja3s")),
        "ja4": _text(tls.get("ja4")),
        "alpn": _joined(tls.get("client_alpns")) or _joined(tls.get("server_alpns")),
        "session_resumed": int(resumed is True),
        "cert_subject": _text(tls.get("subject")),
        "cert_issuer": _text(tls.get("issuerdn")),
        "cert_serial": certificates.serial(_text(tls.get("serial"))),
        "cert_sha1": certificates.sha1(_text(tls.get("fingerprint"))),
        "cert_not_before": certificates.time(_text(tls.get("notbefore"))),
        "cert_not_after": certificates.time(_text(tls.get("notafter"))),
        "cert_names": _joined(tls.get("subjectaltname")),
    }


def _common(record: dict[str, Any], protocol: str) -> dict[str, Any]:
    """Return what a session of either protocol has."""
    return {
        "start": _required_time(record.get("timestamp")),
        "flow_id": flow_in(record),
        "protocol": protocol,
        "src_ip": _text(record.get("src_ip")),
        "src_port": _number(record.get("src_port"), 0, 65_535),
        "dst_ip": _text(record.get("dest_ip")),
        "dst_port": _number(record.get("dest_port"), 0, 65_535),
        "community_id": _text(record.get("community_id")),
        "capture": _text(record.get("pcap_filename")),
        "flow_sessions": 1,
        "hits": [],
    }


def _hash(value: Any) -> str | None:
    """Return a JA3 that is an object with its hash, or the bare hash."""
    return _text(value.get("hash")) if isinstance(value, dict) else _text(value)


def _joined(value: Any) -> str | None:
    """Return a list of texts joined by commas; one text stays as it is."""
    if isinstance(value, list):
        return ",".join(one for one in value if isinstance(one, str)) or None
    return _text(value)


def decode_uri(uri: str | None) -> str | None:
    """Return a request target percent-decoded, twice at most, + as space: what the server may come to see."""
    if uri is None or ("%" not in uri and "+" not in uri):
        return uri
    decoded = unquote_plus(uri, errors="replace")
    return unquote(decoded, errors="replace") if "%" in decoded else decoded


def _text(value: Any) -> str | None:
    """Return a text that may be repeated (header arrays: the first), a number, or missing."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _text(value[0]) if value and not isinstance(value[0], list) else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None


_DIGITS = re.compile(r"[0-9]{1,19}\Z")


def _number(value: Any, least: int = -INT64_MAX - 1, most: int = INT64_MAX) -> int | None:
    """Return a number that may be a text or missing; None when it is outside what the column can hold."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str) and _DIGITS.match(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if least <= value <= most else None


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
        text = _text(value)
        if isinstance(name, str) and text is not None:
            headers.setdefault(name.lower(), text)
    return headers


def _required_time(value: Any) -> int:
    if not isinstance(value, str):
        raise BadRecordError("timestamp is missing")
    return micros(value)


def flow_in(record: dict[str, Any]) -> int:
    """Return the flow number of a parsed record."""
    flow_id = _number(record.get("flow_id"), 0)
    if flow_id is None:
        raise BadRecordError("flow_id is missing or no number")
    return flow_id


# --- rule hits, flows, files ---------------------------------------------------------------------------------------


def hit_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return the rule hit of one parsed EVE alert record; `BadRecordError` without a signature number."""
    told = record.get("alert")
    if not isinstance(told, dict):
        raise BadRecordError("alert is no object")
    sid = _number(told.get("signature_id"), 0)
    if sid is None:
        raise BadRecordError("alert.signature_id is missing or no number")
    return {
        "sid": sid,
        "gid": _number(told.get("gid")),
        "rev": _number(told.get("rev")),
        "signature": _text(told.get("signature")),
        "category": _text(told.get("category")),
        "severity": _number(told.get("severity")),
        "action": _text(told.get("action")),
        "scope": FLOW if _number(record.get("tx_id")) is None else TRANSACTION,
    }


FLOW_FIELDS = ("flow_start", "flow_end", "bytes_to_server", "bytes_to_client", "packets_to_server", "packets_to_client")
FILE_FIELDS = ("file_magic", "file_bytes", "file_sha256")


def flow_values(record: dict[str, Any]) -> tuple[int | None, ...]:
    """Return `FLOW_FIELDS` of one parsed EVE flow record."""
    told = record.get("flow")
    if not isinstance(told, dict):
        raise BadRecordError("flow is no object")
    return (
        optional_micros(told.get("start")),
        optional_micros(told.get("end")),
        _number(told.get("bytes_toserver"), 0),
        _number(told.get("bytes_toclient"), 0),
        _number(told.get("pkts_toserver"), 0),
        _number(told.get("pkts_toclient"), 0),
    )


def file_values(record: dict[str, Any]) -> tuple[int | None, tuple[Any, ...]]:
    """Return the transaction and `FILE_FIELDS` of one parsed EVE fileinfo record."""
    told = record.get("fileinfo")
    if not isinstance(told, dict):
        raise BadRecordError("fileinfo is no object")
    tx_id = _number(told.get("tx_id", record.get("tx_id")))
    return tx_id, (_text(told.get("magic")), _number(told.get("size"), 0), _text(told.get("sha256")))


# --- lines ---------------------------------------------------------------------------------------------------------

_PADDING = b"\0 \t\r\xef\xbb\xbf"  # a crash may leave zeros, an editor a byte order mark
_SURROGATES = re.compile("[\ud800-\udfff]")


def parse_line(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line, forgiving bytes that are no UTF-8 and half surrogates (both become U+FFFD).

    An attacker must not be able to hide a session by one odd byte. `BadRecordError` says what else is wrong.
    """
    if not line.startswith(b"{") and not line.lstrip(_PADDING).startswith(b"{"):
        raise BadRecordError("no JSON object")
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        value = _parse_forgiving(line)
    if not isinstance(value, dict):
        raise BadRecordError("no JSON object")
    return value


def _parse_forgiving(line: bytes) -> Any:
    try:
        value = json.loads(line.decode("utf-8", "replace").strip("\0\ufeff \t\r"))
    except json.JSONDecodeError as error:
        reason = "more than one record on a line" if error.msg == "Extra data" else "broken or torn JSON"
        raise BadRecordError(reason) from None
    except (RecursionError, ValueError):  # thousands of brackets, or of digits
        raise BadRecordError("JSON that no sensor writes (too deep or a number too long)") from None
    return _without_surrogates(value)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        paired = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return _SURROGATES.sub("\ufffd", paired)
    if isinstance(value, list):
        return [_without_surrogates(one) for one in value]
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(one) for name, one in value.items()}
    return value


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
        _joined(tls.client_alpns) or _joined(tls.server_alpns), int(tls.session_resumed is True),
        tls.subject, tls.issuerdn, certificates.serial(tls.serial), certificates.sha1(tls.fingerprint),
        certificates.time(tls.notbefore), certificates.time(tls.notafter), _joined(tls.subjectaltname),
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
        tx_id=_number(record.get("tx_id")),
        app_proto=_text(record.get("app_proto")),
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
