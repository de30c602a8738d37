"""Segments: writing one, reading its sessions, rows and raw lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from django.conf import settings

from detection import tables
from detection.geo import Geo, NoGeoError, open_geo
from detection.sources.suricata_reader import Chunk
from traffic import storage
from traffic.models import Kind, LateHit, Segment, Sensor

log = structlog.get_logger(__name__)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def store_segment(chunk: Chunk, *, sensor: Sensor, source: str, path: str, kind: Kind = Kind.TRAFFIC) -> Segment:
    """Store sessions and raw lines as an unsealed segment: the row first, so that no file lies unknown."""
    starts = chunk.columns["start"]
    geo = geo_in_force()
    segment = Segment.objects.create(
        sensor=sensor,
        source=source,
        protocol=chunk.protocol,
        kind=kind,
        sessions_path=f"{path}.sessions.parquet",
        raw_path=f"{path}.raw.parquet",
        digest="",
        geo_digest=geo.digest if geo else "",
        rows=len(chunk.raw),
        first_at=_EPOCH + timedelta(microseconds=min(starts)),
        last_at=_EPOCH + timedelta(microseconds=max(starts)),
    )
    columns = chunk.columns | {"dst_org": geo.orgs(chunk.columns["dst_ip"])} if geo else chunk.columns
    sessions = tables.session_table(columns, segment_id=segment.pk)
    segment.digest = storage.put_table(segment.sessions_path, sessions, **tables.SESSION_OPTIONS)
    storage.put_table(segment.raw_path, tables.raw_table(chunk.raw), **tables.RAW_OPTIONS)
    segment.save(update_fields=["digest"])
    return segment


def geo_in_force() -> Geo | None:
    """Return the source of owners of addresses; None where none is set, or it cannot be read: intake goes on."""
    if not settings.ETALON_GEO:
        return None
    try:
        return open_geo(settings.ETALON_GEO)
    except (OSError, NoGeoError) as error:
        log.warning("geo.unreadable", path=settings.ETALON_GEO, error=str(error))
        return None


def read_sessions(segment: Segment, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the sessions of a segment in row order, with `rid`; only some columns when they are named.

    A column that was added to the schema after the segment was stored is null throughout; hits that came later are
    among the others."""
    with storage.open_input(_path_of(segment)) as file:
        return _sessions(segment, file, columns)


def _path_of(segment: Segment) -> str:
    if not segment.sessions_path:
        raise FileNotFoundError(f"{segment} was deleted by age")
    return segment.sessions_path


def late_hits_of(segment: Segment) -> int:
    """Return how many hits came when the segment was sealed, up to now."""
    return Segment.objects.values_list("late_hits", flat=True).get(pk=segment.pk)


def late_hits(segment: Segment) -> dict[int, list[dict[str, Any]]]:
    """Return the hits that came when the segment was sealed, by row."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row, value in LateHit.objects.filter(segment=segment).order_by("row", "id").values_list("row", "value"):
        found.setdefault(row, []).append(json.loads(value))
    return found


class SegmentDamaged(RuntimeError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """The file of a segment is not what was sealed."""


def read_sealed(segment: Segment, columns: Sequence[str] | None = None) -> pa.Table:
    """Return what `read_sessions` does, after checking that the file is what was sealed.

    Parquet keeps no checksums: a damaged file may still be read, as other or fewer sessions.
    Raises SegmentDamaged, OSError."""
    data = storage.get_bytes(_path_of(segment))
    if (found := hashlib.sha256(data).hexdigest()) != segment.digest:
        raise SegmentDamaged(f"{segment.sessions_path} has the digest {found[:12]}…, sealed was {segment.digest[:12]}…")
    table = _sessions(segment, pa.BufferReader(data), columns)
    if len(table) != segment.rows:
        raise SegmentDamaged(f"{segment.sessions_path} has {len(table)} sessions, sealed were {segment.rows}")
    return table


def _sessions(segment: Segment, file: pa.NativeFile, columns: Sequence[str] | None) -> pa.Table:
    wanted = None if columns is None else ["rid", *(name for name in columns if name != "rid")]
    table = pq.read_table(file, columns=wanted, schema=tables.SESSION_SCHEMA)
    late = late_hits(segment) if "hits" in table.column_names else {}
    return tables.with_hits(table, late) if late else table


def read_rows(segment: Segment, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Return some sessions of a segment as plain rows, in the order asked."""
    return tables.rows_of(read_sessions(segment).take(pa.array(rows, pa.int64())))


def raw_line(segment: Segment, row: int) -> bytes:
    """Return the line a session came from, as received; reads one small row group."""
    return raw_lines(segment, [row])[0]


def raw_lines(segment: Segment, rows: Sequence[int]) -> list[bytes]:
    """Return the lines of some sessions, in the order asked; each row group is read once.

    Where they were deleted by age, each says so."""
    try:
        return _raw_lines(segment, rows)
    except FileNotFoundError:
        segment.refresh_from_db(fields=["raw_deleted_at", "raw_path"])
        if segment.raw_kept_days is None:
            raise
        return [f"raw line deleted after {segment.raw_kept_days} days".encode()] * len(rows)


def _raw_lines(segment: Segment, rows: Sequence[int]) -> list[bytes]:
    if not segment.raw_path:
        raise FileNotFoundError(f"raw lines of {segment} were deleted by age")
    groups, places = np.divmod(np.asarray(rows, dtype=np.int64), tables.RAW_ROW_GROUP)
    found: dict[int, bytes] = {}
    with storage.open_input(segment.raw_path) as file, pq.ParquetFile(file) as parquet:
        for group in np.unique(groups).tolist():
            lines = parquet.read_row_group(group).column("line")
            for index in np.flatnonzero(groups == group).tolist():
                found[index] = lines[int(places[index])].as_py()
    return [found[index] for index in range(len(rows))]
