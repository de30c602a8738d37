"""Values as sensors write them, odd types forgiven: what every source needs to fill a row."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import orjson

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


def text_of(value: Any) -> str | None:
    """Return a text that may be repeated (header arrays: the first), a number, or missing."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return text_of(value[0]) if value and not isinstance(value[0], list) else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None


_DIGITS = re.compile(r"[0-9]{1,19}\Z")


def number_of(value: Any, least: int = -INT64_MAX - 1, most: int = INT64_MAX) -> int | None:
    """Return a number that may be a text or missing; None when it is outside what the column can hold."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str) and _DIGITS.match(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if least <= value <= most else None


def joined(value: Any) -> str | None:
    """Return a list of texts joined by commas; one text stays as it is."""
    if isinstance(value, list):
        try:
            return ",".join(value) or None
        except TypeError:  # something else among the texts
            return ",".join(one for one in value if isinstance(one, str)) or None
    return text_of(value)


def decode_uri(uri: str | None) -> str | None:
    """Return a request target percent-decoded, twice at most, + as space: what the server may come to see."""
    if uri is None or ("%" not in uri and "+" not in uri):
        return uri
    decoded = _unquoted(uri.replace("+", " "))
    return _unquoted(decoded) if "%" in decoded else decoded


def _unquoted(text: str) -> str:
    if text.isascii():  # `unquote` looks for pieces that are, which takes as long as the work itself
        return unquote_to_bytes(text).decode("utf-8", "replace")
    return unquote(text, errors="replace")


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
