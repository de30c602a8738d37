"""How many rule hits each session has: one small table per segment, read once and kept.

Few sessions have any, but a Parquet file tells it in eight columns of nulls, which is half of what a question over all
sessions would take."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.conf import settings

from models_registry.services.hunt_engine import THREADS
from traffic import storage
from traffic.models import LateHit, Segment

SCHEMA = pa.schema([("rid", pa.int64()), ("hits", pa.int32())])
MOST_KEPT = 64 << 20  # bytes in a process
_kept: OrderedDict[tuple[str, str, str], pa.Table] = OrderedDict()
_lock = Lock()


def hit_counts(segments: Sequence[Segment]) -> pa.Table:
    """Return the sessions of some segments that have hits, each once with their number; late ones count too."""
    with ThreadPoolExecutor(THREADS) as pool:
        found = pa.concat_tables([SCHEMA.empty_table(), *pool.map(_of, segments)])
    if not len(late := _late(segments)):
        return found
    return pa.concat_tables([found, late]).group_by("rid").aggregate([("hits", "sum")]).rename_columns(SCHEMA.names)


def _of(segment: Segment) -> pa.Table:
    key = (str(settings.ETALON_STORAGE), segment.sessions_path, segment.digest)
    with _lock:
        if (known := _kept.get(key)) is not None:
            _kept.move_to_end(key)
            return known
    found = _read(segment)
    with _lock:
        _kept[key] = found
        while sum(table.nbytes for table in _kept.values()) > MOST_KEPT and len(_kept) > 1:
            _kept.popitem(last=False)
    return found


def _read(segment: Segment) -> pa.Table:
    """Read one of the eight columns: their lists are equally long."""
    with storage.open_input(segment.sessions_path) as file:
        table = pq.ParquetFile(file).read(columns=["hits.list.element.sid"], use_threads=False)
    lengths = pc.fill_null(pc.list_value_length(table["hits"].combine_chunks()), 0)
    numbers = lengths.to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(numbers)
    return pa.table([pa.array(rows | (segment.pk << 32)), pa.array(numbers[rows].astype(np.int32))], schema=SCHEMA)


def _late(segments: Iterable[Segment]) -> pa.Table:
    late = LateHit.objects.filter(segment__in=[one.pk for one in segments if one.late_hits])
    rids = [segment << 32 | row for segment, row in late.values_list("segment", "row")]
    return pa.table([pa.array(rids, pa.int64()), pa.array([1] * len(rids), pa.int32())], schema=SCHEMA)
