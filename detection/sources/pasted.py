"""What a customer saw flagged, as somebody pasted it: an EVE http or tls record, or a request line with headers.

All become an EVE record, so that it is scored by the same code as at the customer."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, urlsplit

from detection.sources.values import BadRecordError, parse_line

LONGEST = 200_000  # characters; a record with a body is smaller
_REQUEST = re.compile(r"(?:(?P<method>[A-Za-z]{3,16})\s+)?(?P<target>\S+)(?:\s+(?P<version>HTTP/\d(?:\.\d)?))?\s*\Z")
_RESPONSE = re.compile(r"(?P<version>HTTP/\d(?:\.\d)?)\s+(?P<status>\d{3})(?:\s.*)?\Z")
_HEADER = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*(?P<value>.*)\Z")
_PORTS = {"http": 80, "https": 443}


def record_of(text: str, received: datetime) -> dict[str, Any]:
    """Return the EVE record that a pasted text tells; what it does not tell is missing from it.

    BadRecordError says what was expected, and where."""
    text = text.strip("\ufeff \t\r\n\0")
    if not text:
        raise BadRecordError("nothing was pasted: expected an EVE http or tls record, or a URL with headers")
    if len(text) > LONGEST:
        raise BadRecordError(f"{len(text)} characters were pasted, {LONGEST} are taken: paste one record")
    record = _eve(text) if text.startswith("{") else _request(text)
    record.setdefault("timestamp", received.isoformat())
    record.setdefault("flow_id", _number_of(text))
    record.setdefault("tx_id", 0)
    return record


def _eve(text: str) -> dict[str, Any]:
    try:
        record = parse_line(text.encode("utf-8", "surrogatepass"))
    except BadRecordError as error:
        raise BadRecordError(f"the record cannot be read ({error}): paste one whole EVE record") from None
    for protocol in ("http", "tls"):
        if isinstance(record.get(protocol), dict):
            return record | {"event_type": protocol}
    raise BadRecordError("the record has no http object and no tls object: paste the http or tls record of the session")


def _request(text: str) -> dict[str, Any]:
    lines = text.splitlines()
    first = _REQUEST.match(lines[0])
    if first is None:
        raise BadRecordError(f"line 1: expected a URL or “GET /path HTTP/1.1”, got {lines[0][:60]!r}")
    request, status, response = _parts(lines[1:])
    url = _url(first["target"], _first(request, "host"))
    told = {
        "hostname": url.hostname,
        "url": _target(url),
        "http_method": (first["method"] or "GET").upper(),
        "protocol": first["version"],
        "http_user_agent": _first(request, "user-agent"),
        "http_refer": _first(request, "referer"),
        "http_content_type": (_first(response, "content-type") or "").partition(";")[0].strip() or None,
        "status": status,
        "length": _length(_first(response, "content-length")),
        "request_headers": request or None,
        "response_headers": response or None,
    }
    return {
        "event_type": "http",
        "dest_port": url.port or _PORTS.get(url.scheme, 80),
        "http": {name: value for name, value in told.items() if value is not None},
    }


Headers = list[dict[str, str]]


def _parts(lines: list[str]) -> tuple[Headers, int | None, Headers]:
    """Return request headers, status and response headers; bodies are passed over."""
    request: Headers = []
    response: Headers = []
    status = None
    current: Headers | None = request
    for number, line in enumerate(lines, start=2):
        if answer := _RESPONSE.match(line.strip()):
            status, current = int(answer["status"]), response
        elif not line.strip():
            current = None
        elif current is not None:
            current.append(_header(number, line.strip()))
    return request, status, response


def _header(number: int, line: str) -> dict[str, str]:
    found = _HEADER.match(line)
    if found is None:
        raise BadRecordError(f"line {number}: expected “Name: value”, got {line[:60]!r}")
    return {"name": found["name"], "value": found["value"]}


def _first(headers: Headers, name: str) -> str | None:
    return next((header["value"] for header in headers if header["name"].lower() == name), None)


def _url(target: str, host: str | None) -> SplitResult:
    try:
        if "://" in target.partition("?")[0]:
            url = urlsplit(target)
        elif target.startswith("/"):
            url = urlsplit(f"http://{host or ''}{target}")
        else:
            url = urlsplit(f"http://{target}")
        valid = bool(url.hostname) and url.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise BadRecordError("no host: expected a whole URL (http://host/path) or a “Host:” header")
    return url


def _target(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _length(value: str | None) -> int | None:
    return int(value) if value and value.isascii() and value.isdecimal() and len(value) < 19 else None


def _number_of(text: str) -> int:
    """Return a flow number that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:7], "big")
