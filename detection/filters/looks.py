"""Sessions that look alike, as a test of a filter: the parts of a look, and what DuckDB asks of a session for them.

A look is no column: `detection.fingerprint` makes it of several. What it implies of single columns is plain SQL, and
only sessions that pass that are looked at closely."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from detection.fingerprint import shape_parts
from detection.sessions import Row

COLUMNS = ("protocol", "host", "method", "uri", "user_agent", "ja3", "ja4", "cert_issuer")  # that looks are made of
Look = tuple[str, ...]  # detection.fingerprint.shape_parts, without their names
_MOST_PARTS = 7
_ALIKE = np.frombuffer(bytes(range(256)).translate(bytes.maketrans(b"023456789", b"111111111")), np.uint8)
_LABEL = re.compile(r"[a-z0-9_-]+")
_LITERAL = re.compile(r"[a-z_~.-]{3,48}")  # letters that nothing folds; upper case may stand for something folded


def look_of(row: Row) -> Look:
    return tuple(shape_parts(row).values())


def write_look(look: Look) -> str:
    """Return a look as a filter names it."""
    return json.dumps(look, ensure_ascii=False, separators=(",", ":"))


def read_look(text: str) -> Look | None:
    """Return what `write_look` wrote; None for anything else."""
    try:
        parts = json.loads(text)
    except ValueError:
        return None
    well = isinstance(parts, list) and 0 < len(parts) <= _MOST_PARTS and all(isinstance(part, str) for part in parts)
    return tuple(parts) if well else None


def _looks_of(
    protocol: pa.Array,
    host: pa.Array,
    method: pa.Array,
    uri: pa.Array,
    user_agent: pa.Array,
    ja3: pa.Array,
    ja4: pa.Array,
    cert_issuer: pa.Array,
) -> pa.Array:
    """Return the looks of some sessions: the function `look_of` of DuckDB, which counts parameters."""
    columns = (protocol, host, method, uri, user_agent, ja3, ja4, cert_issuer)
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return pa.array([write_look(look_of(dict(zip(COLUMNS, row, strict=True)))) for row in rows], pa.string())


def _digits_alike(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return texts with every ASCII digit as 1: in UTF-8 these bytes mean nothing else."""
    whole = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    present, offsets, letters = whole.buffers()
    if letters is None:
        return whole
    folded = pa.py_buffer(_ALIKE[np.frombuffer(letters, np.uint8)])
    return pa.Array.from_buffers(whole.type, len(whole), [present, offsets, folded], offset=whole.offset)


def offer_looks(connection: Any) -> None:
    """Teach a DuckDB connection, and all its cursors, the functions `look_of` and `digits_alike`."""
    texts = ["VARCHAR"] * len(COLUMNS)
    connection.create_function("look_of", _looks_of, texts, "VARCHAR", type="arrow", null_handling="special")
    connection.create_function(
        "digits_alike", _digits_alike, ["VARCHAR"], "VARCHAR", type="arrow", null_handling="special"
    )


@dataclass(frozen=True, slots=True)
class Hint:
    """What every session of a look has: a condition over {column} with its {value}."""

    condition: str
    column: str
    value: str


def hints(look: Look) -> Iterator[Hint]:
    """Yield what a look implies of single columns."""
    yield Hint("coalesce({column}, '') = {value}", "protocol", look[0])
    # a label of the registered domain: other dots than "." part labels too
    labels = [label for label in (look[1] if len(look) > 1 else "").split(".") if _LABEL.fullmatch(label)]
    if labels:
        yield Hint("contains(lower({column}), {value})", "host", max(labels, key=len))
    if look[0] == "tls" or len(look) < _MOST_PARTS:
        return
    _protocol, _domain, method, uri, _agent, ja3, ja4 = look
    yield Hint("coalesce(substr({column}, 1, 16), '') = {value}", "method", method)
    yield Hint("coalesce({column}, '') = {value}", "ja3", ja3)
    yield Hint("coalesce({column}, '') = {value}", "ja4", ja4)
    parts = [part for part in uri.partition("?")[0].split("/") if _LITERAL.fullmatch(part)]
    if parts:  # a percent sign may hide any letter
        yield Hint("(contains({column}, {value}) OR contains({column}, '%'))", "uri", max(parts, key=len))
