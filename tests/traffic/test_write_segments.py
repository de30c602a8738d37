"""Segments are written while a log is read: whole row groups, whatever the chunks."""

from __future__ import annotations

import hashlib

import pyarrow.parquet as pq
import pytest

from detection.sources.reader import Chunk
from traffic import storage
from traffic.models import Segment
from traffic.services import rule_sets, segments
from traffic.services.segments import SegmentPolicy, SegmentWriter

pytestmark = pytest.mark.django_db


def chunk(first: int, rows: int, size: int = 10) -> Chunk:
    numbers = range(first, first + rows)
    columns = {"start": [number * 1_000_000 for number in numbers], "flow_id": list(numbers), "dst_ip": [None] * rows}
    return Chunk("http", columns, [b"%*d" % (size, number) for number in numbers])


def written(*chunks: Chunk, **policy: int) -> list[Segment]:
    sensor = rule_sets.sensor_named("s")
    with SegmentWriter("segments/x/", sensor=sensor, source="s", policy=SegmentPolicy(**policy)) as writer:
        for one in chunks:
            writer.add(one)
    return writer.segments


def groups_of(path: str) -> list[int]:
    with storage.open_input(path) as file:
        metadata = pq.ParquetFile(file).metadata
        return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def test_sessions_and_lines_keep_their_places_whatever_the_chunks() -> None:
    chunks = [chunk(first, 730) for first in range(0, 7_300, 730)]
    first, second = written(*chunks, rows=5_000, group_rows=2_000)
    assert (first.rows, second.rows) == (5_000, 2_300)
    assert groups_of(first.sessions_path) == [2_000, 2_000, 1_000]
    assert groups_of(first.raw_path) == [2_000, 2_000, 1_000]
    for segment, offset in ((first, 0), (second, 5_000)):
        table = segments.read_sealed(segment)
        assert table["rid"].to_pylist() == [segment.pk << 32 | row for row in range(segment.rows)]
        assert table["flow_id"].to_pylist() == list(range(offset, offset + segment.rows))
        rows = [0, 1_999, 2_000, segment.rows - 1]
        assert [int(line) for line in segments.raw_lines(segment, rows)] == [offset + row for row in rows]
        assert (segment.first_at.timestamp(), segment.last_at.timestamp()) == (offset, offset + segment.rows - 1)
        assert hashlib.sha256(storage.get_bytes(segment.sessions_path)).hexdigest() == segment.digest


def test_long_lines_make_smaller_groups_and_smaller_segments() -> None:
    chunks = [chunk(first, 1_000, 1_000) for first in range(0, 10_000, 1_000)]
    found = written(*chunks, group_bytes=2_500_000, raw_bytes=6_000_000)
    assert [segment.rows for segment in found] == [6_000, 4_000]
    assert all(rows == 2_000 for segment in found for rows in groups_of(segment.raw_path))
    assert [int(line) for line in segments.raw_lines(found[1], [0, 3_999])] == [6_000, 9_999]


def test_no_file_appears_when_reading_fails() -> None:
    sensor = rule_sets.sensor_named("s")
    with (
        pytest.raises(OSError, match="fire"),
        SegmentWriter("segments/x/", sensor=sensor, source="s", policy=SegmentPolicy(group_rows=2_000)) as writer,
    ):
        writer.add(chunk(0, 3_000))
        raise OSError("disk on fire")
    (segment,) = writer.segments
    folder = storage.local_path(segment.sessions_path).parent
    assert list(folder.iterdir()) == []
