"""What an item keeps of a session, as text that any database takes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson

from detection.sessions import COLUMN_NAMES, Row
from detection.texts import storable


def moment(microseconds: int) -> datetime:
    """Return the time that a session row carries as microseconds since 1970."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def stored_row(row: Row) -> dict[str, Any]:
    """Return the columns of a session without its place in a segment, which may be gone tomorrow."""
    return {name: row[name] for name in COLUMN_NAMES}


def to_json(value: Any) -> str:
    """Return JSON text that any database takes: NUL is written as an escape, lone surrogates too."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value)


def from_json(text: str) -> Any:
    """Return what `to_json` wrote; orjson refuses lone surrogates, the standard library takes them."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def host_of(row: Row) -> str:
    """Return the source host of a session, as items and reference rows keep it."""
    return storable(row["src_ip"] or "?", 64)


def identity(row: Row) -> tuple[Any, ...]:
    """Return what tells a session from all others of its sensor."""
    return row["flow_id"], row["tx_id"], row["start"]
