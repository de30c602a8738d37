"""All sessions that pass a filter as a stream: JSON lines, CSV or Parquet, a batch of rows in memory at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from detection.tables import SESSION_SCHEMA
from models_registry.services.hunt_tables import Hunt, opened

FORMATS = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
_BATCH = 10_000  # rows
_SEGMENTS = 20  # asked at once
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs cells that begin with these
_COLUMNS = SESSION_SCHEMA.names


def export(hunt: Hunt, kind: str) -> Iterator[bytes]:
    """Return the bytes of a file of a kind out of FORMATS. The oldest segment comes last; nothing is sorted."""
    return {"jsonl": _lines, "csv": _cells, "parquet": _parquet}[kind](_batches(hunt))


def _batches(hunt: Hunt) -> Iterator[pa.RecordBatch]:
    columns = ", ".join(f"s.{name}" for name in _COLUMNS)
    for begin in range(0, len(hunt.segments), _SEGMENTS):
        with opened(hunt, of=hunt.segments[begin : begin + _SEGMENTS], limited=False) as asked:
            yield from asked.batches(f"SELECT {columns}", _BATCH)


def _lines(batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    for batch in batches:
        yield b"".join(orjson.dumps(row, option=orjson.OPT_UTC_Z) + b"\n" for row in batch.to_pylist())


def _cells(batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    yield _written([_COLUMNS])
    for batch in batches:
        yield _written([[_cell(row[name]) for name in _COLUMNS] for row in batch.to_pylist()])


def _written(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: Any) -> Any:
    """Return what no spreadsheet takes for a formula: attackers write these texts."""
    if isinstance(value, list):
        return "; ".join(f"{hit['gid']}:{hit['sid']} {hit['signature']}" for hit in value)
    if isinstance(value, str):
        plain = value.replace("\0", "")
        return f"'{plain}" if plain.startswith(_FORMULAS) else plain
    return value


def _parquet(batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    sink = _Growing()
    with pq.ParquetWriter(sink, SESSION_SCHEMA, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch.cast(SESSION_SCHEMA))
            yield sink.taken()
    yield sink.taken()


class _Growing(io.RawIOBase):
    """A file that hands out what was written to it; Parquet is written from the front to the back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        return self._size

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)
