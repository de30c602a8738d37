"""Segments: writing one, reading its sessions, rows and raw lines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from detection import tables
from detection.sources.suricata_reader import Chunk
from traffic import storage
from traffic.models import Segment, Sensor

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def store_segment(chunk: Chunk, *, sensor: Sensor, source: str, path: str) -> Segment:
    """Store sessions and raw lines as an unsealed segment: the row first, so that no file lies unknown."""
    starts = chunk.columns["start"]
    segment = Segment.objects.create(
        sensor=sensor,
        source=source,
        protocol="http",
        sessions_path=f"{path}.sessions.parquet",
        raw_path=f"{path}.raw.parquet",
        digest="",
        rows=len(chunk.raw),
        first_at=_EPOCH + timedelta(microseconds=min(starts)),
        last_at=_EPOCH + timedelta(microseconds=max(starts)),
    )
    sessions = tables.session_table(chunk.columns, segment_id=segment.pk)
    segment.digest = storage.put_table(segment.sessions_path, sessions, **tables.SESSION_OPTIONS)
    storage.put_table(segment.raw_path, tables.raw_table(chunk.raw), **tables.RAW_OPTIONS)
    segment.save(update_fields=["digest"])
    return segment


def read_sessions(segment: Segment, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the sessions of a segment in row order, with `rid`; only some columns when they are named."""
    wanted = None if columns is None else ["rid", *(name for name in columns if name != "rid")]
    return storage.get_table(segment.sessions_path, columns=wanted)


class SegmentDamaged(RuntimeError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """The file of a segment is not what was sealed."""


def read_sealed(segment: Segment, columns: Sequence[str]) -> pa.Table:
    """Return columns of a sealed segment in row order, with `rid`, after checking that the file is what was sealed.

    Parquet keeps no checksums: a damaged file may still be read, as other or fewer sessions.
    Raises SegmentDamaged, OSError."""
    data = storage.get_bytes(segment.sessions_path)
    if (found := hashlib.sha256(data).hexdigest()) != segment.digest:
        raise SegmentDamaged(f"{segment.sessions_path} has the digest {found[:12]}…, sealed was {segment.digest[:12]}…")
    table = pq.read_table(pa.BufferReader(data), columns=["rid", *(name for name in columns if name != "rid")])
    if len(table) != segment.rows:
        raise SegmentDamaged(f"{segment.sessions_path} has {len(table)} sessions, sealed were {segment.rows}")
    return table


def read_rows(segment: Segment, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Return some sessions of a segment as plain rows, in the order asked."""
    return tables.rows_of(read_sessions(segment).take(pa.array(rows, pa.int64())))


def raw_line(segment: Segment, row: int) -> bytes:
    """Return the line a session came from, as received; reads one small row group."""
    return raw_lines(segment, [row])[0]


def raw_lines(segment: Segment, rows: Sequence[int]) -> list[bytes]:
    """Return the lines of some sessions, in the order asked; each row group is read once."""
    groups, places = np.divmod(np.asarray(rows, dtype=np.int64), tables.RAW_ROW_GROUP)
    found: dict[int, bytes] = {}
    with storage.open_input(segment.raw_path) as file, pq.ParquetFile(file) as parquet:
        for group in np.unique(groups).tolist():
            lines = parquet.read_row_group(group).column("line")
            for index in np.flatnonzero(groups == group).tolist():
                found[index] = lines[int(places[index])].as_py()
    return [found[index] for index in range(len(rows))]
