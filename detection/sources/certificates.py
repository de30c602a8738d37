"""What TLS sensors say in their own ways, said in one: versions, names, serial numbers, fingerprints, validity.

Certificates repeat, so every function remembers; what an attacker makes up pushes out the oldest only."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# X.509 begins in 1950; 9999-12-31 means "never", and is one hour east of Greenwich no time that can be shown
_FIRST, _LAST = datetime(1950, 1, 1, tzinfo=UTC), datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)
_VERSION = re.compile(r"(D?TLS|SSL)[ v]*(\d)(?:\.?(\d))?(?:[ -]draft.*)?", re.IGNORECASE)
_HEX = re.compile(r"[0-9A-F]+")
_SHA1 = re.compile(r"[0-9a-f]{40}")
_COMMA = re.compile(r"(?<!\\)((?:\\\\)*),")
_ESCAPED = re.compile(r"((?:\\[0-9A-Fa-f]{2})+)|\\(.)", re.DOTALL)  # bytes of UTF-8, or one character


@lru_cache(maxsize=1_000)
def version(text: str | None) -> str | None:
    """Return a protocol version as "TLS 1.2", "SSL 3.0", "DTLS 1.0"; a draft as what it became; others as told."""
    if text is None or text in ("", "UNDETERMINED"):
        return None
    found = _VERSION.fullmatch(text)
    return f"{found[1].upper()} {found[2]}.{found[3] or 0}" if found else text


@lru_cache(maxsize=20_000)
def serial(text: str | None) -> str | None:
    """Return a serial number as upper hex, whole bytes, without colons and leading zero bytes; others as told."""
    if not text:
        return None
    digits = text.replace(":", "").upper()
    if not _HEX.fullmatch(digits):
        return text
    digits = digits.lstrip("0") or "0"
    return digits if len(digits) % 2 == 0 else f"0{digits}"


@lru_cache(maxsize=20_000)
def sha1(text: str | None) -> str | None:
    """Return a fingerprint as lower hex without colons; None when it is no SHA-1."""
    if not text:
        return None
    digits = text.replace(":", "").lower()
    return digits if _SHA1.fullmatch(digits) else None


@lru_cache(maxsize=20_000)
def time(text: str | None) -> int | None:
    """Return the end of a validity as microseconds since 1970 UTC; None when it is no time since 1950."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def seconds(value: float | None) -> int | None:
    """Return the end of a validity, told as seconds since 1970, as microseconds."""
    if value is None:
        return None
    try:
        return _micros(_EPOCH + timedelta(seconds=value))
    except (OverflowError, ValueError):
        return None


def _micros(moment: datetime) -> int | None:
    return (min(moment, _LAST) - _EPOCH) // timedelta(microseconds=1) if moment >= _FIRST else None


@lru_cache(maxsize=20_000)
def name(text: str | None) -> str | None:
    """Return a name written as RFC 4514 says (CN first, escapes) as Suricata writes it: country first, no escapes."""
    if not text:
        return None
    parts = [_ESCAPED.sub(_unescaped, part) for part in _COMMA.sub(r"\1\n", text).split("\n")]
    return ", ".join(reversed(parts))


def _unescaped(found: re.Match[str]) -> str:
    return bytes.fromhex(found[1].replace("\\", "")).decode("utf-8", "replace") if found[1] else found[2]
