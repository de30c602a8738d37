"""Zeek logs: lines of http, ssl, conn, x509 and files, as text with a header or as JSON → values of sessions.

What kind of log a line belongs to is told by its content: `#path` or `_path`, else the fields it has.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from operator import itemgetter
from typing import Any

from detection.sources import certificates
from detection.sources.values import BadRecordError, decode_uri, micros, number_of, parse_line, text_of

SESSION_KINDS = ("http", "ssl")
COMPANION_KINDS = ("conn", "x509", "files")  # what they tell is joined to sessions
KINDS = frozenset({*SESSION_KINDS, *COMPANION_KINDS})
OTHER = "unknown"

Values = Sequence[Any]
_LAST_SECOND = 253_339_228_800  # 9998-01-01, so that every time of day can be shown
_MILLISECONDS_FROM = 100_000_000_000  # as seconds that would be the year 5138: the JSON writer was told milliseconds


# --- kinds ---------------------------------------------------------------------------------------------------------

_SIP = frozenset({"call_id", "request_from", "request_to", "request_path", "response_path"})  # else much like http
_PATH_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")


def kind_of(fields: Collection[str], path: str | None) -> str:
    """Return the kind of a log: what it calls itself, else what its fields say; names of fields with dots."""
    if path is not None and _PATH_WORD.fullmatch(path):
        return path
    names = frozenset(fields)
    if "uid" in names:
        if names & {"conn_state", "orig_ip_bytes"}:
            return "conn"
        if names & {"established", "ssl_history", "cert_chain_fps", "cert_chain_fuids"}:
            return "ssl"
        if names >= {"trans_depth", "response_body_len"} and not names & _SIP:
            return "http"
    elif "certificate.serial" in names:
        return "x509"
    elif names >= {"fuid", "source"}:
        return "files"
    return OTHER


# --- text with a header --------------------------------------------------------------------------------------------

_HEX_RUN = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")
_ESCAPE = re.compile(r"((?:\\x[0-9a-fA-F]{2})+)|\\\\")


def unescape(text: str) -> str:
    r"""Return a text as it was before Zeek wrote bytes as \xNN and a backslash as two."""
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(found: re.Match[str]) -> str:
    if found[1] is None:
        return "\\"
    return bytes.fromhex(found[1].replace("\\x", "")).decode("utf-8", "replace")


class Header:
    """The `#` lines before the lines of a log: how to split these and what their values are called."""

    def __init__(self) -> None:
        self.separator = "\t"
        self.set_separator = ","
        self.empty = "(empty)"
        self.unset = "-"
        self.path: str | None = None
        self.fields: tuple[str, ...] = ()
        self.kind = OTHER

    def take(self, line: str) -> None:
        """Take one `#` line; unknown ones are comments."""
        if line.startswith("#separator"):
            self.separator = unescape(line.removeprefix("#separator").strip(" ")) or "\t"
            self.fields, self.path = (), None  # another log begins
            return
        word, _, rest = line.partition(self.separator)
        if word == "#fields":
            self.fields = tuple(rest.split(self.separator))
        elif word == "#path":
            self.path = rest
        elif word == "#set_separator":
            self.set_separator = rest or ","
        elif word == "#empty_field":
            self.empty = rest
        elif word == "#unset_field":
            self.unset = rest
        self.kind = kind_of(self.fields, self.path)

    def reader_of(self, names: Sequence[str]) -> Callable[[str], Values]:
        """Return what picks the values of some fields out of a line; a field the log does not have is None."""
        count = len(self.fields)
        place = {name: at for at, name in reversed(list(enumerate(self.fields)))}
        pick = itemgetter(*(place.get(name, count) for name in names))  # behind the last value stands an unset one
        lists = [at for at, name in enumerate(names) if name in _LISTS and name in place]
        separator, unset, empty = self.separator, self.unset, self.empty

        def read(line: str) -> Values:
            parts = line.split(separator)
            if len(parts) != count:
                raise BadRecordError(f"{len(parts)} values, expected {count} as the #fields line names")
            parts.append(unset)
            values: list[Any] = [None if told == unset else told for told in pick(parts)]
            for at in lists:
                if values[at] is not None:
                    values[at] = self._list(values[at])
            if "\\" in line or empty in line:
                return [self._text(told) if isinstance(told, str) else told for told in values]
            return values

        return read

    def _text(self, told: str) -> str:
        return "" if told == self.empty else unescape(told)

    def _list(self, told: str) -> list[str]:
        return [] if told == self.empty else [unescape(one) for one in told.split(self.set_separator)]


def is_header(line: bytes) -> bool:
    """Return whether the header of a Zeek log begins with a line."""
    return line.startswith((b"#separator ", b"#fields\t", b"#set_separator\t", b"#path\t"))


# --- JSON ----------------------------------------------------------------------------------------------------------


def record_of(line: bytes) -> dict[str, Any]:
    """Return the record of a JSON line, names with dots: some writers nest them, some write `id_orig_h`."""
    record = parse_line(line)
    for name in ("id", "certificate", "san"):
        inner = record.get(name)
        if isinstance(inner, dict):
            record |= {f"{name}.{key}": value for key, value in inner.items()}
    if not record.keys().isdisjoint(_FLAT_NAMES):
        record |= {dotted: record[flat] for flat, dotted in _FLAT_NAMES.items() if flat in record}
    return record


def values_in(record: dict[str, Any], names: Sequence[str]) -> Values:
    """Return the values of some fields of a JSON record; what should be text is text or None."""
    values = [record.get(name) for name in names]
    for at, (name, value) in enumerate(zip(names, values, strict=True)):
        if value is not None and value.__class__ is not str and name not in _NOT_TEXT:
            values[at] = text_of(value)
    return values


def kind_in(record: dict[str, Any]) -> str:
    """Return the kind of log a JSON record belongs to; `BadRecordError` when it is no Zeek record at all."""
    if "event_type" in record or "ts" not in record:
        raise BadRecordError("no record of Zeek: no ts")
    path = record.get("_path", record.get("@stream"))
    return kind_of(record, path if isinstance(path, str) else None)


def looks_like_zeek(record: dict[str, Any]) -> bool:
    """Return whether a JSON record is of Zeek: a time as `ts` is all that its logs have in common."""
    try:
        kind_in(record)
        time_of(record["ts"])
    except BadRecordError:
        return False
    return True


# --- values of one line --------------------------------------------------------------------------------------------

CONNECTION = ("uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")
HTTP_NAMES = (
    *CONNECTION, "ts", "trans_depth", "method", "host", "uri", "referrer", "version", "user_agent",
    "response_body_len", "status_code", "resp_mime_types",
)  # fmt: skip
SSL_NAMES = (
    *CONNECTION, "ts", "version", "cipher", "server_name", "resumed", "next_protocol", "ja3", "ja3s", "ja4",
    "cert_chain_fps", "cert_chain_fuids", "subject", "issuer",
)  # fmt: skip
CONN_NAMES = (
    *CONNECTION, "ts", "duration", "orig_ip_bytes", "resp_ip_bytes", "orig_pkts", "resp_pkts", "community_id",
)  # fmt: skip
X509_NAMES = (
    "id", "fingerprint", "certificate.subject", "certificate.issuer", "certificate.serial",
    "certificate.not_valid_before", "certificate.not_valid_after", "san.dns",
)  # fmt: skip
FILES_NAMES = ("fuid", "source", "sha1")
NAMES = {"http": HTTP_NAMES, "ssl": SSL_NAMES, "conn": CONN_NAMES, "x509": X509_NAMES, "files": FILES_NAMES}
_LISTS = frozenset({"resp_mime_types", "cert_chain_fps", "cert_chain_fuids", "san.dns"})
_FLAT_NAMES = {name.replace(".", "_"): name for name in (*CONNECTION, *X509_NAMES) if "." in name}

_NO_UID = "uid is missing"
# the others are texts
_NOT_TEXT = frozenset({
    *_LISTS, "ts", "id.orig_p", "id.resp_p", "trans_depth", "response_body_len", "status_code", "resumed", "duration",
    "orig_ip_bytes", "resp_ip_bytes", "orig_pkts", "resp_pkts", "certificate.not_valid_before",
    "certificate.not_valid_after",
})  # fmt: skip

# what a line of http tells
HTTP_TOLD = (
    "start", "flow_id", "tx_id", "protocol", "app_proto", "src_ip", "src_port", "dst_ip", "dst_port", "uid",
    "host", "method", "uri", "uri_decoded", "user_agent", "referer", "http_version", "status", "content_type",
    "response_bytes",
)  # fmt: skip
# and one of ssl
SSL_TOLD = (
    "start", "flow_id", "tx_id", "protocol", "app_proto", "src_ip", "src_port", "dst_ip", "dst_port", "uid",
    "host", "tls_version", "cipher", "session_resumed", "alpn", "ja3", "ja3s", "ja4", "cert_subject", "cert_issuer",
)  # fmt: skip
# what a line of conn tells of them
FLOW_TOLD = (
    "flow_start", "flow_end", "bytes_to_server", "bytes_to_client", "packets_to_server", "packets_to_client",
    "community_id",
)  # fmt: skip
# what lines of x509 tell of them; subject and issuer count where ssl has none
CERTIFICATE_TOLD = (
    "cert_subject", "cert_issuer", "cert_serial", "cert_not_before", "cert_not_after", "cert_names",
)  # fmt: skip


def connection_key(values: Values) -> int:
    """Return what lines of one connection share. The addresses too: uids repeat where a test fixed the seed.

    It holds inside one process only."""
    uid, source, source_port, target, target_port = values[:5]
    return hash(f"{uid}|{source}|{source_port}|{target}|{target_port}")


def http_told(values: Values) -> tuple[Any, ...]:
    """Return the values of `HTTP_TOLD` for the values of `HTTP_NAMES`."""
    (
        uid, source, source_port, target, target_port, ts, depth, method, host, uri, referrer, version, agent,
        length, status, mime_types,
    ) = values  # fmt: skip
    if not uid:
        raise BadRecordError(_NO_UID)
    depth = number_of(depth, 1)
    return (
        time_of(ts), flow_id_of(uid), None if depth is None else depth - 1, "http", "http", source,
        number_of(source_port, 0, 65_535), target, number_of(target_port, 0, 65_535), uid, host,
        method, uri, decode_uri(uri), agent, referrer, f"HTTP/{version}" if version else None,
        number_of(status, 1, 99_999), text_of(mime_types), number_of(length, 0),
    )  # fmt: skip


def tls_told(values: Values) -> tuple[Any, ...]:
    """Return the values of `SSL_TOLD` for the values of `SSL_NAMES`."""
    (
        uid, source, source_port, target, target_port, ts, version, cipher, host, resumed, alpn, ja3, ja3s, ja4,
        _, _, subject, issuer,
    ) = values  # fmt: skip
    if not uid:
        raise BadRecordError(_NO_UID)
    return (
        time_of(ts), flow_id_of(uid), 0, "tls", "tls", source, number_of(source_port, 0, 65_535), target,
        number_of(target_port, 0, 65_535), uid, host, certificates.version(version), cipher, _truth_of(resumed),
        alpn, ja3, ja3s, ja4, certificates.name(subject), certificates.name(issuer),
    )  # fmt: skip


def certificate_keys(values: Values) -> tuple[str | None, str | None]:
    """Return by which fingerprint and which file number other lines know the server's certificate of an ssl line."""
    return text_of(values[14]), text_of(values[15])


def flow_told(values: Values) -> tuple[Any, ...]:
    """Return the values of `FLOW_TOLD` for the values of `CONN_NAMES`: bytes with IP headers."""
    _, _, _, _, _, ts, duration, to_server, to_client, packets_to_server, packets_to_client, community_id = values
    start = time_of(ts)
    length = _seconds_of(duration)
    return (
        start, None if length is None else start + length, number_of(to_server, 0), number_of(to_client, 0),
        number_of(packets_to_server, 0), number_of(packets_to_client, 0), community_id,
    )  # fmt: skip


def certificate_told(values: Values) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Return the keys and the values of `CERTIFICATE_TOLD` for the values of `X509_NAMES`."""
    number, fingerprint, subject, issuer, serial, before, after, names = values
    keys = tuple(key for key in (number, fingerprint) if key)
    if not keys:
        raise BadRecordError("a certificate without id and fingerprint")
    if isinstance(names, list):
        names = ",".join(one for one in names if isinstance(one, str))
    return keys, (
        certificates.name(subject), certificates.name(issuer), certificates.serial(serial),
        _validity_of(before), _validity_of(after), text_of(names) or None,
    )  # fmt: skip


def flow_id_of(uid: str) -> int:
    """Return the flow number of a connection: the first 63 bits of the SHA-256 of its uid."""
    return int.from_bytes(hashlib.sha256(uid.encode("utf-8", "replace")).digest()[:8], "big") >> 1


def time_of(value: Any) -> int:
    """Return a time as microseconds since 1970 UTC: seconds as text or number, milliseconds, or ISO 8601."""
    if isinstance(value, str) and "-" in value and ":" in value:
        return micros(value)
    found = _seconds_of(value)
    if found is None:
        raise BadRecordError("ts is no time, expected seconds since 1970 or ISO 8601")
    if found >= _MILLISECONDS_FROM * 1_000_000:
        found //= 1000
    if not 0 <= found < _LAST_SECOND * 1_000_000:
        raise BadRecordError("ts lies outside the years 1970 to 9998")
    return found


_SECONDS = re.compile(r"(\d{1,15})(?:\.(\d{1,9})\d*)?")


def _seconds_of(value: Any) -> int | None:
    """Return seconds as microseconds; text is read digit by digit, so that no microsecond is lost."""
    if isinstance(value, str):
        found = _SECONDS.fullmatch(value)
        if found is None:
            return None
        return int(found[1]) * 1_000_000 + int((found[2] or "0")[:6].ljust(6, "0"))
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e15:
        return round(value * 1_000_000)
    return None


def _validity_of(value: Any) -> int | None:
    if isinstance(value, str) and ":" in value:
        return certificates.time(value)
    try:
        return None if value is None or isinstance(value, bool) else certificates.seconds(float(value))
    except (TypeError, ValueError):
        return None


def _truth_of(value: Any) -> int | None:
    if isinstance(value, bool):
        return int(value)
    return {"T": 1, "F": 0}.get(value) if isinstance(value, str) else None


# --- file sets -----------------------------------------------------------------------------------------------------


def name_in_set(name: str, kind: str) -> tuple[str, str] | None:
    """Return what stands before and behind the kind in a file's name; None when it is not there.

    Files of one set share both, as do `http.2018-01-01-00-00-00.log.gz` and `conn.2018-01-01-00-00-00.log`."""
    found = re.search(rf"(?<![A-Za-z0-9]){re.escape(kind)}(?![A-Za-z0-9])", name)
    return None if found is None else (name[: found.start()], name[found.end() :].removesuffix(".gz"))
