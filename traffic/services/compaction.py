"""Merging segments: sessions and raw lines sorted by host and time into one, which takes their place at once.

What upper rooms keep per row moves in the same transaction: `models_registry.services.compaction` leads. Here are the
files of traffic and the rows of segments. The segments that were merged stay as rows; their files go when whoever had
the list of them is done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.db.models import Q
from django.utils import timezone
from numpy.typing import NDArray

from detection import tables
from detection.compaction import CompactionPolicy, Stored
from traffic import storage
from traffic.models import Segment
from traffic.services import retention, runs, segments
from traffic.services.runs import Run
from traffic.services.segments import SegmentDamaged

POLICY = CompactionPolicy()
MOST_BYTES = 512 << 20  # of raw lines and sessions unpacked, each: so much is in memory
_AT_ONCE = 20_000  # rows that are put in their place together: whole row groups of both files
_ORDER = [("host", "ascending"), ("start", "ascending"), ("rid", "ascending")]


class Unreadable(RuntimeError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """A segment has something that is not what was written: it stays as it is, and holds up nobody."""

    def __init__(self, segment: Segment, error: Exception) -> None:
        super().__init__(f"segment {segment.pk}: {error}")
        self.segment = segment


@dataclass(frozen=True, slots=True)
class Draft:
    """A merged segment that nobody sees yet."""

    segment: Segment
    sources: tuple[Segment, ...]
    places: NDArray[np.int64]  # of each of its rows: the row in the sources, laid one behind the other

    def path(self, name: str) -> str:
        """Return where a file lies that belongs to it: beside its own, so that it goes with them if this run dies."""
        return f"{self.segment.sessions_path.rpartition('/')[0]}/{name}"

    def rearranged(self, parts: Sequence[pa.Table]) -> pa.Table:
        """Return the rows of the sources' tables, which have a `rid`, in the order of the draft."""
        whole = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
        table = whole.take(pa.array(self.places))
        return with_rids(table, tables.rids(self.segment.pk, len(table)))


def with_rids(table: pa.Table, rids: NDArray[np.int64]) -> pa.Table:
    """Return a table whose column `rid` says this."""
    return table.set_column(table.schema.get_field_index("rid"), tables.RID, pa.array(rids))


def stored() -> dict[int, Stored]:
    """Return the segments that may be merged, by their numbers: of traffic, not large and sorted already.

    Those that hits still look into are left out. What differs in the key differs for every row: sensor, protocol,
    source, rules, owners of addresses, and whether there are raw lines."""
    loose = Segment.objects.of_traffic().filter(Q(compacted_at=None) | Q(rows__lt=POLICY.small_rows))
    ready = loose.exclude(hits_asked_at=None).exclude(last_at=None)
    found = {}
    for pk, rows, last, taken_in, compacted, raw_gone, *key in ready.values_list(
        "pk", "rows", "last_at", "created_at", "compacted_at", "raw_deleted_at", *_KEY
    ):
        found[pk] = Stored(pk, (*key, raw_gone is None), last.date(), rows, taken_in, compacted is not None)
    return found


_KEY = ("sensor_id", "protocol", "source", "rule_set_id", "geo_digest")


def sources_of(pks: Sequence[int]) -> list[Segment]:
    """Return the segments of a batch that are still here, in its order, as many as fit into memory at once."""
    here = Segment.objects.of_traffic().in_bulk(list(pks))
    found: list[Segment] = []
    size = 0
    for segment in (here[pk] for pk in pks if pk in here):
        size += _unpacked(segment)
        if found and size > MOST_BYTES:
            break
        found.append(segment)
    return found


def _unpacked(segment: Segment) -> int:
    """Return the bytes of the larger of its files, unpacked; 0 where it cannot be told: reading will say why."""
    size = 0
    for path in filter(None, (segment.raw_path, segment.sessions_path)):
        try:
            with storage.open_input(path) as file:
                told = pq.read_metadata(file)
        except (OSError, pa.ArrowException):
            continue
        size = max(size, sum(told.row_group(number).total_byte_size for number in range(told.num_row_groups)))
    return size


def has_room(sources: Sequence[Segment]) -> bool:
    """Whether the store's disk takes a copy of these files and still has what retention keeps free."""
    if not runs.store_is_local():
        return True
    disk = shutil.disk_usage(storage.local_path("."))
    paths = [path for segment in sources for path in (segment.sessions_path, segment.raw_path) if path]
    return disk.free - sum(storage.sizes(paths).values()) >= retention.POLICY.least_free(disk.total)


def merge(sources: Sequence[Segment], run: Run) -> Draft:
    """Write the files of a merged segment, unsealed. Raises Unreadable."""
    read = pa.concat_tables([_read(segment) for segment in sources])
    places = pc.sort_indices(read, sort_keys=_ORDER).to_numpy().astype(np.int64)
    first = sources[0]
    segment = Segment.objects.create(
        **{name: getattr(first, name) for name in (*_KEY, "kind")},
        sessions_path=runs.path_in(run, "0.sessions.parquet"),
        raw_path=runs.path_in(run, "0.raw.parquet") if first.raw_deleted_at is None else "",
        raw_deleted_at=_latest(one.raw_deleted_at for one in sources),
        digest="",
        rows=len(read),
        first_at=min(one.first_at for one in sources if one.first_at),
        last_at=max(one.last_at for one in sources if one.last_at),
        created_at=max(one.created_at for one in sources),  # by which it goes: nothing sooner than was said
        hits_asked_at=_latest(one.hits_asked_at for one in sources),
        compacted_at=timezone.now(),
    )
    rids = tables.rids(segment.pk, len(read))
    segment.digest = storage.put_batches(
        segment.sessions_path,
        tables.SESSION_SCHEMA,
        (with_rids(some, rids[start : start + len(some)]) for start, some in _pieces(read, places)),
        row_group=tables.COMPACT_ROW_GROUP,
        **tables.SESSION_OPTIONS,
    )
    del read
    if segment.raw_path:
        _merge_raw(segment, sources, places)
    segment.save(update_fields=["digest"])
    return Draft(segment, tuple(sources), places)


def _read(segment: Segment) -> pa.Table:
    try:
        return segments.read_sealed(segment)
    except (OSError, SegmentDamaged, pa.ArrowException) as error:
        raise Unreadable(segment, error) from error


def _merge_raw(segment: Segment, sources: Sequence[Segment], places: NDArray[np.int64]) -> None:
    lines = pa.concat_tables([_read_raw(one) for one in sources])
    options = {name: value for name, value in tables.RAW_OPTIONS.items() if name != "row_group_size"}
    pieces = (some for _start, some in _pieces(lines, places))
    storage.put_batches(segment.raw_path, tables.RAW_SCHEMA, pieces, row_group=tables.RAW_ROW_GROUP, **options)


def _read_raw(segment: Segment) -> pa.Table:
    try:
        table = storage.get_table(segment.raw_path)
    except (OSError, pa.ArrowException) as error:
        raise Unreadable(segment, error) from error
    if len(table) != segment.rows:
        raise Unreadable(segment, SegmentDamaged(f"{segment.raw_path} has {len(table)} lines, not {segment.rows}"))
    return table


def _pieces(table: pa.Table, places: NDArray[np.int64]) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of a table in another order, some at a time: there is no second copy of the whole."""
    whole = table.combine_chunks()
    for start in range(0, len(places), _AT_ONCE):
        yield start, whole.take(pa.array(places[start : start + _AT_ONCE]))


def _latest(moments: Any) -> Any:
    return max((moment for moment in moments if moment is not None), default=None)


def hold(draft: Draft) -> bool:
    """Lock the sources of a draft; False where one is not any more what was merged. Call inside atomic().

    Whoever writes hits beside a segment, routes or corrects it locks its row too."""
    held = Segment.objects.select_for_update().filter(pk__in=[one.pk for one in draft.sources]).order_by("pk")
    now = {one.pk: one for one in held}
    return all(_is_as_read(one, now[one.pk]) for one in draft.sources)


def _is_as_read(read: Segment, now: Segment) -> bool:
    names = ("deleted_at", "merged_into_id", "raw_deleted_at", "late_hits", "digest")
    return all(getattr(read, name) == getattr(now, name) for name in names)


def seal(draft: Draft) -> None:
    """Let a draft take the place of its sources. Call inside atomic(), after `hold`.

    Hits that lie beside the sources are stored with the sessions now; their rows stay with the sources, where logs
    count them."""
    now = timezone.now()
    # it came when its youngest part came: who asks which rules ran last is told the truth
    sealed_at = _latest(one.sealed_at for one in draft.sources)
    Segment.objects.filter(pk=draft.segment.pk).update(sealed_at=sealed_at)
    for start in range(0, len(draft.sources), retention.BATCH):
        some = [one.pk for one in draft.sources[start : start + retention.BATCH]]
        Segment.objects.filter(pk__in=some).update(merged_into=draft.segment, deleted_at=now)


def day_of(segment: Segment) -> date:
    """Return the day by which a segment is merged: that of its last session."""
    assert segment.last_at is not None  # or it had not been chosen
    return segment.last_at.date()
