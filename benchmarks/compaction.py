"""Compaction of a day: what a question about one host takes before and after, and how fast segments become one.

Half a million sessions of the shared logs with 100,000 hosts (skewed) and ever new sources, as files of 50,000 sessions
and as files of 5,000, which a stream leaves. The question is asked by DuckDB over the files that the database names, on
a kept connection that remembers what the files begin with. Speed is everything a job does (files checked, one version's
scores moved, digests, rows) against reading, sorting and writing the same session and raw files by pyarrow alone. One
core, processor time, a process of its own.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from benchmarks._house import measured_apart, prepare_django
from benchmarks.traffic_files import is_session, real_lines

SESSIONS = 500_000
HOSTS = 100_000
SIZES = (50_000, 5_000)  # sessions of a file
ROUNDS = 5
TARGETS = {50_000: 5.0, 5_000: 7.0}
SPEED = 0.6
DAY = datetime(2026, 3, 1, tzinfo=UTC)
QUESTION = (
    "SELECT count(*), count(DISTINCT src_ip) FROM read_parquet({paths}, union_by_name=false) WHERE host = '{host}' "
    "AND status >= 200"
)


def rows() -> list[dict[str, Any]]:
    """Return the rates of a host's question by size of files, and that of the compaction itself."""
    return measured_apart("compaction")


def measure() -> list[dict[str, Any]]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    found = []
    for size in SIZES:
        make_day(f"files of {size}", size)
        before = asked(f"files of {size}")
        ours, theirs = compacted(f"files of {size}"), plain(f"files of {size}")
        after = asked(f"files of {size}")
        name = f"a host among {SESSIONS:,} sessions in files of {size:,}, compacted, questions/s"
        found.append(_row(name, 1 / after, "as they came", 1 / before, TARGETS[size]))
        name = f"compaction from files of {size:,}, sessions/s"
        found.append(_row(name, SESSIONS / ours, "read, sort, write by pyarrow", SESSIONS / theirs, SPEED))
    return found


def make_day(source: str, size: int) -> None:
    """Store a day in files of one size, scored by one version and taken in yesterday."""
    from tests import factories
    from traffic.models import Segment, Sensor

    sensor, _new = Sensor.objects.get_or_create(name=source)
    version = factories.make_version(stage="retired")
    dice = np.random.default_rng(7)
    began = datetime.now(UTC) - timedelta(days=1)
    for number, (sessions, raw) in enumerate(_tables(dice, size)):
        start = DAY + timedelta(seconds=86_000 * number * size / SESSIONS)
        segment = Segment(sensor=sensor, source=source, rows=size, sealed_at=began, hits_asked_at=began)
        segment.first_at = segment.last_at = start
        segment.created_at = began
        segment.sessions_path, segment.raw_path = (f"segments/{source}/{number}.{name}" for name in ("sessions", "raw"))
        segment.save()
        _store(segment, version, sessions, raw, start, dice)


def _tables(dice: Any, size: int) -> Iterator[tuple[Any, Any]]:
    """Yield sessions and their lines, taken at random from the real ones."""
    import io

    import pyarrow as pa
    import pyarrow.compute as pc

    from detection import tables
    from detection.sources.logs import open_log

    lines = [line for line in real_lines() if is_session(line)]
    [chunk] = [chunk for chunk in open_log(io.BytesIO(b"\n".join(lines))) if chunk.protocol == "http"]
    real = tables.session_table(chunk.columns), tables.raw_table(chunk.raw)
    for first in range(0, SESSIONS, size):
        chosen = pa.array(dice.integers(0, len(real[0]), size))
        sessions, raw = (table.take(chosen).combine_chunks() for table in real)
        hosts = np.minimum(HOSTS * dice.power(0.4, size), HOSTS - 1).astype(np.int64)
        changed = {
            "host": pa.array([f"host-{number}.example" for number in hosts.tolist()]),
            "src_ip": pa.array(
                [f"10.{one % 256}.{one // 256 % 200}.7" for one in dice.integers(0, 50_000, size).tolist()]
            ),
            "uri": pc.binary_join_element_wise(
                pc.fill_null(sessions["uri"], ""), pa.array(map(str, range(first, first + size))), "?"
            ),
            "flow_id": pa.array(np.arange(first, first + size)),
        }
        for name, column in changed.items():
            sessions = sessions.set_column(sessions.schema.get_field_index(name), sessions.schema.field(name), column)
        yield sessions, raw


def _store(segment: Any, version: Any, sessions: Any, raw: Any, start: datetime, dice: Any) -> None:
    import pyarrow as pa

    from detection import tables
    from tests import factories
    from traffic import storage

    rids = pa.array(tables.rids(segment.pk, len(sessions)))
    micros = int(start.timestamp() * 1e6) + np.sort(dice.integers(0, 60_000_000, len(sessions)))
    times = pa.array(micros).view(pa.timestamp("us", tz="UTC"))
    sessions = sessions.set_column(0, tables.RID, rids)
    place = sessions.schema.get_field_index("start")
    sessions = sessions.set_column(place, sessions.schema.field("start"), times)
    segment.digest = storage.put_table(segment.sessions_path, sessions, **tables.SESSION_OPTIONS)
    segment.save(update_fields=["digest"])
    storage.put_table(segment.raw_path, raw, **tables.RAW_OPTIONS)
    zeros = np.zeros(len(sessions), np.int8)
    told = {"rid": rids, "raw": dice.normal(size=len(sessions)), "verdict": zeros.astype(bool), "rules": zeros}
    scores = pa.table(told | {"cell": zeros, "src_ip": sessions["src_ip"]}).cast(tables.SCORE_SCHEMA)
    file = factories.make_score_file(
        version=version, segment=segment, rows=len(sessions), path=f"{segment.sessions_path}.scores"
    )
    file.digest = storage.put_table(file.path, scores, **tables.SCORE_OPTIONS)
    from models_registry.services.scoring import counters

    for name, count in counters(zeros).items():
        setattr(file, name, count)
    file.save()


def asked(source: str) -> float:
    """Return the seconds of a question about one host: the median over popular and rare ones."""
    import duckdb

    from traffic import storage
    from traffic.models import Segment

    paths = [str(storage.local_path(one.sessions_path)) for one in Segment.objects.sealed().filter(source=source)]
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET parquet_metadata_cache = true")
        times = [
            _timed(lambda host=host: connection.execute(QUESTION.format(paths=paths, host=host)).fetchall())  # type: ignore[misc]
            for _ in range(ROUNDS)
            for host in ("host-99990.example", "host-70000.example", "host-7.example")
        ]
    return statistics.median(times)


def compacted(source: str) -> float:
    """Merge the day as a worker would; return the seconds."""
    from jobs.models import Job, State
    from jobs.services import parts
    from models_registry.services import compaction
    from traffic.models import Segment

    job = compaction.start()
    assert job is not None
    began = time.process_time()
    parts.run(job.pk, lambda part: compaction.work(job, part))
    seconds = time.process_time() - began
    assert Job.objects.get(pk=job.pk).state == State.DONE
    assert not Segment.objects.sealed().filter(source=source, compacted_at=None).exists()
    return seconds


def plain(source: str) -> float:
    """Read, sort and write the same files by pyarrow alone, in the same batches; return the seconds."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from detection import tables
    from traffic import storage
    from traffic.models import Segment

    seconds = 0.0
    for merged in Segment.objects.sealed().filter(source=source):
        sources = list(merged.merged.order_by("pk"))
        sessions, raws = (
            [storage.local_path(getattr(one, name)) for one in sources] for name in ("sessions_path", "raw_path")
        )
        out = storage.local_path("plain.parquet")

        def work(sessions: Any = sessions, raws: Any = raws, out: Any = out) -> None:
            table = pa.concat_tables([pq.read_table(path) for path in sessions])
            places = pc.sort_indices(table, sort_keys=[("host", "ascending"), ("start", "ascending")])
            pq.write_table(table.take(places), out, row_group_size=tables.COMPACT_ROW_GROUP, **tables.SESSION_OPTIONS)
            lines = pa.concat_tables([pq.read_table(path) for path in raws])
            pq.write_table(lines.take(places), out, **tables.RAW_OPTIONS)

        seconds += _timed(work)
    return seconds


def _timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _row(name: str, ours: float, against: str, theirs: float, target: float) -> dict[str, Any]:
    ratio = ours / theirs
    return {
        "name": name,
        "ours": round(ours, 1),
        "against": against,
        "theirs": round(theirs, 1),
        "ratio": round(ratio, 2),
        "target": target,
        "holds": ratio >= target,
    }


if __name__ == "__main__":
    prepare_django()
    print(json.dumps(measure()))
