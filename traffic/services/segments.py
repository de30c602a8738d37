"""Segments: writing one, reading its sessions, rows and raw lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from django.conf import settings

from detection import tables
from detection.geo import Geo, NoGeoError, open_geo
from detection.sources.reader import Chunk
from traffic import storage
from traffic.models import Kind, LateHit, Segment, Sensor

log = structlog.get_logger(__name__)
_LINE = tables.RAW_SCHEMA.field("line")


@dataclass(frozen=True, slots=True)
class SegmentPolicy:
    """When a segment is large enough, and how much of one is held back to fill a row group."""

    rows: int = 50_000
    raw_bytes: int = 128 << 20
    group_rows: int = 20_000  # a multiple of the raw lines' row groups
    group_bytes: int = 64 << 20


class SegmentWriter:
    """Stores chunks as unsealed segments of one protocol each, row group by row group.

    A context manager: `segments` are complete when it ends well; when it does not, their files never appear."""

    def __init__(
        self,
        folder: str,
        *,
        sensor: Sensor,
        source: str,
        kind: Kind = Kind.TRAFFIC,
        policy: SegmentPolicy = SegmentPolicy(),
    ) -> None:
        self.segments: list[Segment] = []
        self._folder = folder
        self._told = {"sensor": sensor, "source": source, "kind": kind}
        self._policy = policy
        self._geo = geo_in_force()
        self._open: dict[str, _OpenSegment] = {}

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            _, segment = self._open.popitem()
            segment.finish(error)

    def add(self, chunk: Chunk) -> None:
        columns = chunk.columns
        if self._geo:
            columns = {**columns, "dst_org": self._geo.orgs(columns["dst_ip"])}
        rows = tables.session_table(columns).append_column(_LINE, tables.raw_table(chunk.raw).column(0))
        while len(rows):
            segment = self._open.get(chunk.protocol) or self._begun(chunk.protocol)
            rows = segment.add(rows)
            if segment.is_full:
                self._open.pop(chunk.protocol).finish()

    def _begun(self, protocol: str) -> _OpenSegment:
        path = f"{self._folder}{len(self.segments)}"
        segment = Segment.objects.create(  # the row first, so that no file lies unknown
            **self._told,
            protocol=protocol,
            sessions_path=f"{path}.sessions.parquet",
            raw_path=f"{path}.raw.parquet",
            digest="",
            geo_digest=self._geo.digest if self._geo else "",
            rows=0,
        )
        self.segments.append(segment)
        self._open[protocol] = _OpenSegment(segment, self._policy)
        return self._open[protocol]


class _OpenSegment:
    """A segment whose files are being written; sessions and lines wait side by side for the next row group."""

    def __init__(self, segment: Segment, policy: SegmentPolicy) -> None:
        self._segment = segment
        self._policy = policy
        self._files = ExitStack()
        self._sessions, self._raw = (
            self._files.enter_context(storage.writing_table(path, schema, **options))
            for path, schema, options in (
                (segment.sessions_path, tables.SESSION_SCHEMA, tables.SESSION_OPTIONS),
                (segment.raw_path, tables.RAW_SCHEMA, tables.RAW_OPTIONS),
            )
        )
        self._held = tables.SESSION_SCHEMA.append(_LINE).empty_table()
        self._raw_bytes = 0

    @property
    def is_full(self) -> bool:
        return self._room <= 0 or self._raw_bytes >= self._policy.raw_bytes

    @property
    def _room(self) -> int:
        return self._policy.rows - self._segment.rows - len(self._held)

    def add(self, rows: pa.Table) -> pa.Table:
        """Take in rows while there is room; return those that are left."""
        taken, left = rows.slice(0, self._room), rows.slice(self._room)
        self._raw_bytes += taken.column(_LINE.name).nbytes
        self._held = pa.concat_tables([self._held, taken])
        while len(self._held) >= self._policy.group_rows:
            self._write(self._policy.group_rows)
        if self._held.nbytes >= self._policy.group_bytes:
            self._write(len(self._held) // tables.RAW_ROW_GROUP * tables.RAW_ROW_GROUP)
        return left

    def finish(self, error: BaseException | None = None) -> None:
        """Write what is held and let the files appear; throw them away when there was an error."""
        if error is not None:
            with suppress(type(error)):
                self._files.__exit__(type(error), error, error.__traceback__)
            return
        self._write(len(self._held))
        self._files.close()
        self._segment.digest = self._sessions.digest
        self._segment.save(update_fields=["digest", "rows", "first_at", "last_at"])

    def _write(self, rows: int) -> None:
        """Write the first rows that are held as a row group; all but the last groups are whole ones of raw lines."""
        if not rows:
            return
        part, self._held = self._held.slice(0, rows), self._held.slice(rows)
        segment = self._segment
        self._sessions.write(tables.with_rids(part.drop_columns([_LINE.name]), segment.pk, segment.rows))
        self._raw.write(part.select([_LINE.name]))
        span = pa.compute.min_max(part.column("start")).as_py()
        segment.first_at = min(filter(None, (segment.first_at, span["min"])))
        segment.last_at = max(filter(None, (segment.last_at, span["max"])))
        segment.rows += rows


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
