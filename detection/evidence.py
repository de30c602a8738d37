"""What a customer hands in as evidence, read by its content and never by its name: records, a vector, or why not.

Everything becomes EVE records, so that it is scored by the code that scored it at the customer. Nothing is executed,
nothing is unpacked beyond its bounds, and names of files are not trusted."""

from __future__ import annotations

import email
import email.policy
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from enum import StrEnum
from typing import Any

from detection import kits
from detection.evidence_remarks import Remark, _
from detection.kits import BadKit, Kit
from detection.sources import pasted, zeek
from detection.sources.flow_ends import FlowEnds
from detection.sources.values import BadRecordError, number_of, parse_line, text_of

LARGEST = 20 * 2**20  # bytes of one attachment
LARGEST_UNPACKED = 32 * 2**20
MOST_UNPACKED = 20  # times the packed size
RECORDS = 200  # sessions of one attachment that are tried
PARTS = 20  # attachments of one mail
DEEPEST = 200  # levels of JSON; a parser that recurses would fail at a thousand


class Kind(StrEnum):
    KIT = "kit"
    EVE = "eve"
    ZEEK = "zeek"
    HAR = "har"
    CAPTURE = "capture"  # only Suricata reads it: the caller asks it
    REQUEST = "request"  # URL with headers
    VECTOR = "vector"
    MAIL = "mail"


class Refused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """This is no evidence that can be used; `code` is the row of docs/formats/evidence.md, `remark` says why."""

    def __init__(self, code: str, why: str = "", **values: str | int) -> None:
        self.code = code
        self.remark = Remark(why or code, values)
        super().__init__(str(self.remark))


@dataclass(frozen=True, slots=True)
class Read:
    """What an attachment holds."""

    kind: Kind
    records: tuple[dict[str, Any], ...] = ()  # EVE
    kit: Kit | None = None
    skipped: int = 0  # lines or entries that could not be used
    notes: tuple[Remark, ...] = ()


def read(data: bytes, received: datetime) -> Read:
    """Return what an attachment holds. Raises Refused with what was expected."""
    if len(data) > LARGEST:
        raise Refused("too-large", size=len(data), most=LARGEST)
    if data[:2] == b"\x1f\x8b":
        data = _unpacked(data)
    if data[:4] in _CAPTURES:
        return Read(Kind.CAPTURE)
    for magic, name in _NEVER.items():
        if data.startswith(magic):
            raise Refused("not-evidence", name=name)
    text = _text(data)
    for form in (_json, _zeek_log, _lines):
        if (found := form(text)) is not None:
            return found
    return _request(text, received)


_CAPTURES = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a")
_NEVER = {
    b"MZ": _("a Windows program"),
    b"\x7fELF": _("a Linux program"),
    b"#!": _("a script"),
    b"PK\x03\x04": _("a ZIP archive or an office document"),
    b"Rar!": _("a RAR archive"),
    b"7z\xbc\xaf": _("a 7z archive"),
    b"%PDF": _("a PDF"),
    b"\x89PNG": _("a picture"),
    b"\xff\xd8\xff": _("a picture"),
    b"GIF8": _("a picture"),
    b"\xd0\xcf\x11\xe0": _("an office document"),
    b"\x80\x04\x95": _("a pickle"),
    b"\x80\x05\x95": _("a pickle"),
    b"SQLite format 3": _("a database"),
    b"<!DOCTYPE": _("a web page"),
    b"<html": _("a web page"),
    b"<?xml": _("an XML document"),
    b"<svg": _("a picture"),
}


def _unpacked(data: bytes) -> bytes:
    limit = min(LARGEST_UNPACKED, max(len(data) * MOST_UNPACKED, 2**16))
    stream = zlib.decompressobj(wbits=31)
    try:
        unpacked = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise Refused("torn", "gzip-damaged", error=str(error)) from None
    if len(unpacked) > limit:
        raise Refused("unpacks-too-far", limit=limit, times=MOST_UNPACKED)
    if not stream.eof:
        raise Refused("torn", "gzip-ends")
    if unpacked[:2] == b"\x1f\x8b":
        raise Refused("not-evidence", "gzip-in-gzip")
    return unpacked


def _text(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", "replace")
    else:
        text = data.decode("utf-8-sig", "replace")
    text = text.strip("\ufeff \t\r\n\0")
    if not text:
        raise Refused("empty")
    strange = sum(1 for sign in text[:4096] if sign == "\ufffd" or (sign < " " and sign not in "\t\r\n"))
    if strange * 10 > min(len(text), 4096):
        raise Refused("not-evidence", "binary")
    return text


# --- forms ---------------------------------------------------------------------------------------------------------


def _json(text: str) -> Read | None:
    """Return what one JSON document holds; None where it is none, or only the first of several lines."""
    if text[0] not in "{[":
        return None
    if _too_deep(text):
        raise Refused("too-deep", most=DEEPEST)
    try:
        told = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        if "\n" in text and text[0] == "{":
            return None
        raise Refused("torn", "json-torn", error=str(error)) from None
    except ValueError as error:  # a number of thousands of digits
        raise Refused("torn", "json-unreadable", error=str(error)) from None
    if isinstance(told, list):
        return _list(told)
    if kits.MARK in told:
        return _kit(told)
    if isinstance(told.get("log"), dict) and "entries" in told["log"]:
        return _har(told["log"]["entries"])
    return _records([json.dumps(told)])


def _too_deep(text: str) -> bool:
    depth = deepest = 0
    quoted = escaped = False
    for sign in text:
        if escaped:
            escaped = False
        elif sign == "\\" and quoted:
            escaped = True
        elif sign == '"':
            quoted = not quoted
        elif not quoted and sign in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif not quoted and sign in "}]":
            depth -= 1
    return deepest > DEEPEST


def _list(told: list[Any]) -> Read:
    if told and all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in told):
        try:
            return Read(Kind.VECTOR, kit=kits.of_vector(told))
        except BadKit as error:
            raise Refused("bad-vector", error=str(error)) from None
    records = [json.dumps(one) for one in told if isinstance(one, dict)]
    if not records:
        raise Refused("no-session", "empty-list")
    found = _records(records)
    return replace(found, skipped=found.skipped + len(told) - len(records))


def _kit(told: dict[str, Any]) -> Read:
    try:
        kit = kits.parse(told)
    except BadKit as error:
        raise Refused("bad-kit", error=str(error)) from None
    if kit.record is None:
        return Read(Kind.KIT, kit=kit)
    found = _records([json.dumps(kit.record)])
    return replace(found, kind=Kind.KIT, kit=kit)


def _lines(text: str) -> Read | None:
    return _records(text.splitlines()) if text[0] == "{" else None


def _records(lines: list[str]) -> Read:
    """Return the sessions of EVE or Zeek records, with the ends of their flows; what tells of none is counted."""
    found: list[dict[str, Any]] = []
    ends, kind, skipped, reason = FlowEnds(), Kind.EVE, 0, "ends of flows alone"
    for line in filter(None, map(str.strip, lines)):
        if len(found) == RECORDS:
            told = (Remark("first-alone", {"most": RECORDS}),)
            return Read(kind, tuple(map(ends.joined, found)), None, skipped, told)
        try:
            if '"flow"' in line and ends.take(parse_line(line.encode("utf-8", "replace"))):
                continue
            record, is_zeek = _session(line)
        except BadRecordError as error:
            skipped, reason = skipped + 1, str(error) if not skipped else reason
        else:
            found.append(record)
            kind = Kind.ZEEK if is_zeek else kind
    if not found:
        raise Refused("no-session", error=reason)
    return Read(kind, tuple(map(ends.joined, found)), None, skipped)


def _session(line: str) -> tuple[dict[str, Any], bool]:
    data = line.encode("utf-8", "replace")
    record = parse_line(data)
    if any(isinstance(record.get(name), dict) for name in ("http", "tls")):
        if "timestamp" not in record:
            raise BadRecordError("timestamp is missing")
        protocol = "http" if isinstance(record.get("http"), dict) else "tls"
        return record | {"event_type": protocol} | ({} if "flow_id" in record else {"flow_id": 0}), False
    if zeek.looks_like_zeek(dotted := zeek.record_of(data)):
        return _of_zeek(dotted.get, zeek.kind_in(dotted)), True
    raise BadRecordError("neither an EVE http or tls record nor a Zeek http or ssl record")


def _zeek_log(text: str) -> Read | None:
    """Return what a Zeek log with a header holds."""
    if not text.startswith(("#separator", "#fields")):
        return None
    header, skipped = zeek.Header(), 0
    found: list[dict[str, Any]] = []
    for line in text.splitlines():
        if line.startswith("#"):
            header.take(line)
            continue
        if len(found) == RECORDS:
            break
        try:
            values = dict(zip(header.fields, header.reader_of(header.fields)(line), strict=False))
            found.append(_of_zeek(values.get, header.kind))
        except BadRecordError:
            skipped += 1
    if not found:
        raise Refused("no-session", "zeek-without", kind=header.kind)
    return Read(Kind.ZEEK, tuple(found), None, skipped)


def _of_zeek(told: Callable[[str], Any], kind: str) -> dict[str, Any]:
    """Return the EVE record that says what a Zeek http or ssl record says."""
    if kind not in zeek.SESSION_KINDS:
        raise BadRecordError(f"a Zeek record of {kind}: expected http or ssl")
    at = datetime.fromtimestamp(zeek.time_of(told("ts")) / 1_000_000, UTC)
    uid = text_of(told("uid"))
    common = {
        "timestamp": at.isoformat(),
        "flow_id": zeek.flow_id_of(uid) if uid else 0,
        "src_ip": text_of(told("id.orig_h")),
        "src_port": number_of(told("id.orig_p"), 0, 65_535),
        "dest_ip": text_of(told("id.resp_h")),
        "dest_port": number_of(told("id.resp_p"), 0, 65_535),
    }
    if kind == "http":
        depth = number_of(told("trans_depth"), 1)
        body = {
            "http_method": text_of(told("method")),
            "hostname": text_of(told("host")),
            "url": text_of(told("uri")),
            "http_user_agent": text_of(told("user_agent")),
            "http_refer": text_of(told("referrer")),
            "protocol": f"HTTP/{told('version')}" if told("version") else None,
            "status": number_of(told("status_code"), 1, 99_999),
            "http_content_type": text_of(told("resp_mime_types")),
            "length": number_of(told("response_body_len"), 0),
        }
        return common | {"event_type": "http", "tx_id": (depth or 1) - 1, "http": _told_only(body)}
    names = {"sni": "server_name", "version": "version", "subject": "subject", "issuerdn": "issuer", "ja4": "ja4"}
    body = {ours: text_of(told(theirs)) for ours, theirs in names.items()}
    hashes = {name: {"hash": text_of(told(name))} for name in ("ja3", "ja3s") if told(name)}
    return common | {"event_type": "tls", "tls": _told_only(body) | hashes}


def _told_only(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _har(entries: Any) -> Read:
    """Return the requests of a browser's recording."""
    found: list[dict[str, Any]] = []
    skipped = 0
    for entry in entries if isinstance(entries, list) else []:
        if len(found) == RECORDS:
            break
        try:
            found.append(_of_har(entry))
        except (BadRecordError, AttributeError, KeyError, TypeError):
            skipped += 1
    if not found:
        raise Refused("no-session", "har-without")
    return Read(Kind.HAR, tuple(found), None, skipped)


def _of_har(entry: dict[str, Any]) -> dict[str, Any]:
    request, response = entry["request"], entry.get("response") or {}
    lines = [f"{request['method']} {request['url']} HTTP/1.1", *_headers(request)]
    if response.get("status"):
        lines += ["", f"HTTP/1.1 {int(response['status'])}", *_headers(response)]
    at = datetime.fromisoformat(str(entry["startedDateTime"]).replace("Z", "+00:00"))
    return pasted.record_of("\n".join(lines), at if at.tzinfo else at.replace(tzinfo=UTC))


def _headers(side: dict[str, Any]) -> Iterator[str]:
    for header in side.get("headers") or []:
        name = str(header["name"])
        if not name.startswith(":"):
            yield f"{name}: {' '.join(str(header['value']).split())}"


# a request line, or an address: words of a person are neither
_ADDRESS = re.compile(r"[A-Z]{3,16} (?:/|[a-z]+://)\S*(?: HTTP/\S+)?\Z|[^\s/]*(?:[./]|://)\S*\Z")


def _request(text: str, received: datetime) -> Read:
    if not _ADDRESS.match(text.splitlines()[0].strip()):
        raise Refused("no-session", "words")
    try:
        record = pasted.record_of(text, received)
    except BadRecordError as error:
        raise Refused("no-session", "unusable-request", error=str(error)) from None
    return Read(Kind.REQUEST, (record,))


# --- mail ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it was saved: who wrote, and what came with it."""

    sender: str
    subject: str
    text: str
    attachments: tuple[tuple[str, bytes], ...]


def read_mail(data: bytes) -> Mail:
    """Return a saved mail (.eml). Raises Refused. Mails inside it are not opened."""
    if len(data) > LARGEST:
        raise Refused("too-large", size=len(data), most=LARGEST)
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not isinstance(message, EmailMessage) or not message.get("From"):
        raise Refused("no-mail", "mail-without-from")
    try:
        parts = [part for part in message.walk() if not part.is_multipart()]
        if len(parts) > PARTS:
            raise Refused("too-many-parts", parts=len(parts), most=PARTS)
        text = "\n".join(_body(part) for part in parts if _is_text(part))
        files = tuple(
            (part.get_filename() or "", bytes(part.get_payload(decode=True) or b"")) for part in parts if _is_file(part)
        )
    except (LookupError, ValueError, AttributeError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused("no-mail", error=str(error)) from None
    return Mail(_one_line(message["From"]), _one_line(message.get("Subject", "")), text[:10_000], files)


def _is_text(part: Any) -> bool:
    return bool(part.get_content_type() == "text/plain" and part.get_content_disposition() != "attachment")


def _is_file(part: Any) -> bool:
    return bool(part.get_content_disposition() == "attachment" or not part.get_content_type().startswith("text/"))


def _body(part: Any) -> str:
    return bytes(part.get_payload(decode=True) or b"").decode("utf-8", "replace")


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())[:200]


def is_mail(data: bytes) -> bool:
    """Say whether bytes look like a saved mail: header lines with From before the first empty line."""
    head = data[:65_536].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    names = [line.partition(b":")[0].lower() for line in head.split(b"\n") if b":" in line]
    return b"from" in names and (b"to" in names or b"mime-version" in names or b"date" in names)
