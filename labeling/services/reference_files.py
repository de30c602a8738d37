"""Export of a reference set, row by row: JSON lines or Parquet, in memory that does not grow with the set."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from django.db.models import Prefetch

from detection.reference_file import VERSION
from labeling.models import Label, ReferenceRow
from labeling.services.entries import RowFilter
from models_registry.models import Detector

CHUNK = 500  # rows per query, and per row group
PIECE = 1 << 18  # bytes handed on at once
PLAIN = ("subject_key", "title", "answer", "family", "role", "rule_hit", "shape", "fingerprint", "host")
SCHEMA = pa.schema(
    [
        pa.field("version", pa.int32()),
        pa.field("detector", pa.string()),
        *(pa.field(name, pa.bool_() if name == "rule_hit" else pa.string()) for name in PLAIN),
        *(pa.field(name, pa.string()) for name in ("day", "sensor", "source", "protocol", "digest", "admitted_at")),
        pa.field("labels", pa.string()),  # JSON
        pa.field("row", pa.string()),  # JSON: all columns of the session
    ]
)


def lines(detector: Detector, asked: RowFilter) -> Iterator[bytes]:
    """Yield one JSON object per row, oldest first."""
    for row in _rows(detector, asked):
        yield orjson.dumps({**_told(row), "labels": _labels(row), "row": orjson.Fragment(row.row)}) + b"\n"


def parquet(detector: Detector, asked: RowFilter) -> Iterator[bytes]:
    """Yield the bytes of a Parquet file; it lies on the disk meanwhile, a row group at a time in memory."""
    with tempfile.TemporaryFile() as file:
        _write_parquet(detector, asked, file)
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece


def _write_parquet(detector: Detector, asked: RowFilter, file: BinaryIO) -> None:
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        group: list[dict[str, Any]] = []
        for row in _rows(detector, asked):
            group.append({**_told(row), "labels": orjson.dumps(_labels(row)).decode(), "row": row.row})
            if len(group) == CHUNK:
                writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))


def _rows(detector: Detector, asked: RowFilter) -> Iterator[ReferenceRow]:
    """Yield rows by key: no cursor stays open while somebody downloads slowly."""
    wanted = ReferenceRow.objects.filter(asked.asked(detector)).order_by("pk")
    experts = Prefetch("labels", queryset=Label.objects.select_related("expert").order_by("pk"))
    last = 0
    while found := list(wanted.filter(pk__gt=last).select_related("detector").prefetch_related(experts)[:CHUNK]):
        yield from found
        last = found[-1].pk


def _told(row: ReferenceRow) -> dict[str, Any]:
    return {
        "version": VERSION,
        "detector": row.detector.name,
        **{name: getattr(row, name) for name in PLAIN},
        "day": row.day.isoformat(),
        "sensor": row.sensor,
        "source": row.source,
        "protocol": row.protocol,
        "digest": row.digest,
        "admitted_at": row.admitted_at.isoformat(),
    }


def _labels(row: ReferenceRow) -> list[dict[str, Any]]:
    return [
        {
            "expert": label.expert.username,
            "answer": label.answer,
            "family": label.family,
            "reason_code": label.reason_code,
            "note": label.note,
            "at": label.created_at.isoformat(),
        }
        for label in row.labels.all()
    ]
