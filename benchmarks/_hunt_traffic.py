"""Stored traffic for hunts: sessions of twenty days with scores of one version, as intake and compaction leave them.

Closed half days are one segment each, sorted by host and time; the last half day is as it came. Names, sources and
request targets are as skewed as real ones. The same numbers make the same files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

SESSIONS = int(os.environ.get("ETALON_BENCH_SESSIONS", "2_000_000"))
DAYS = 20
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
RECENT = 5  # segments of the last half day
HOSTS, SOURCES, PAGES = 100_000, 50_000, 6_000_000
THRESHOLD = 0.7


@dataclass(frozen=True, slots=True)
class Piece:
    """One segment to be made."""

    number: int
    rows: int
    first: datetime
    span: timedelta
    is_compact: bool

    @property
    def paths(self) -> tuple[str, str]:
        return f"bench/sessions-{self.number}.parquet", f"bench/scores-{self.number}.parquet"


def pieces(sessions: int) -> list[Piece]:
    half = timedelta(hours=12)
    rows = sessions // (2 * DAYS)
    closed = [Piece(n + 1, rows, BEGIN + n * half, half, is_compact=True) for n in range(2 * DAYS - 1)]
    last, span = BEGIN + (2 * DAYS - 1) * half, half / RECENT
    recent = [
        Piece(2 * DAYS + n, rows // RECENT, last + n * span, span, is_compact=False) for n in range(RECENT)
    ]  # fmt: skip
    return closed + recent


def build(sessions: int) -> list[Piece]:
    """Make files and rows where there are none; two processes write."""
    made = pieces(sessions)
    from traffic import storage

    missing = [one for one in made if not all(storage.local_path(path).exists() for path in one.paths)]
    if missing:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=_set_up) as pool:
            list(pool.map(_write, missing))
    _register(made)
    return made


def files(made: Sequence[Piece]) -> tuple[list[Path], list[Path]]:
    """Return the session files and the score files."""
    from traffic import storage

    sessions, scores = zip(*(map(storage.local_path, one.paths) for one in made), strict=True)
    return list(sessions), list(scores)


def _register(made: Sequence[Piece]) -> None:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from models_registry.models import Detector, RuleMappingVersion, ScoreFile, TrainingSet, Version
    from traffic.models import Segment, Sensor

    if Segment.objects.exists():
        return
    none = "0" * 64
    detector = Detector.objects.create(name="ktalk", positive_class="ktalk.exe")
    mapping = RuleMappingVersion.objects.create(detector=detector, number=1, mapping={}, digest=none)
    training = TrainingSet.objects.create(detector=detector, number=1, digest=none, path="none", rows=1, counts={})
    version = Version.objects.create(detector=detector, number=1, stage="silent", training_set=training,
                                     threshold=THRESHOLD, contract="http-1", onnx_path="none", onnx_digest=none,
                                     text_path="none", text_digest=none)  # fmt: skip
    sensor = Sensor.objects.create(name="bench")
    for one in made:
        sessions, scores = one.paths
        end = one.first + one.span
        segment = Segment.objects.create(pk=one.number, sensor=sensor, source="bench", sessions_path=sessions,
                                         raw_path="none", digest=none, geo_digest="1" * 64, rows=one.rows,
                                         first_at=one.first, last_at=end, sealed_at=end)  # fmt: skip
        ScoreFile.objects.create(version=version, segment=segment, mapping=mapping, threshold=THRESHOLD, path=scores,
                                 digest=none, rows=one.rows)  # fmt: skip


# ---- one segment


def _set_up() -> None:
    import django

    django.setup()


def _write(one: Piece) -> None:
    import numpy as np
    import pyarrow as pa

    from detection.tables import COMPACT_ROW_GROUP, SCORE_OPTIONS, SCORE_SCHEMA, SESSION_OPTIONS
    from traffic import storage

    draw = np.random.default_rng(one.number)
    sessions = _sessions(one, draw)
    raw = draw.normal(-4, 1.6, one.rows)
    columns = {
        "rid": sessions["rid"],
        "raw": raw,
        "verdict": raw > 0,
        "rules": np.ones(one.rows, np.int8),
        "cell": np.full(one.rows, 3, np.int8),
        "src_ip": sessions["src_ip"].combine_chunks().dictionary_encode(),
    }
    groups = {"row_group_size": COMPACT_ROW_GROUP} if one.is_compact else {}
    storage.put_table(one.paths[1], pa.table(columns).cast(SCORE_SCHEMA), **SCORE_OPTIONS)
    storage.put_table(one.paths[0], sessions, **SESSION_OPTIONS, **groups)


def _sessions(one: Piece, draw: Any) -> Any:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from detection.sessions import Kind
    from detection.tables import ARROW_TYPES, SESSION_SCHEMA, rids

    rows = one.rows
    host = np.minimum(draw.zipf(1.3, rows), HOSTS)
    first, span = int(one.first.timestamp() * 1e6), int(one.span.total_seconds() * 1e6)
    start = np.sort(first + draw.integers(0, span, rows))
    if one.is_compact:
        order = np.lexsort((start, host))
        host, start = host[order], start[order]
    source = draw.zipf(1.2, rows) * 7 % SOURCES
    page = draw.integers(0, PAGES, rows)
    climbs = np.where(draw.random(rows) < 0.001, 1, 0)

    def texts(*parts: Any) -> Any:
        columns = [part if isinstance(part, str) else pa.array(part).cast(pa.string()) for part in parts]
        return pc.binary_join_element_wise(*columns, "")

    def named(codes: Any, names: list[str]) -> Any:
        return pa.array(names).take(pa.array(codes))

    uri = texts("/app/", page % 997, "/", named(climbs, ["", "../../"]), "item-", page, "?from=list&page=", page % 40)
    known = {
        "rid": rids(one.number, rows),
        "start": pa.array(start).view(ARROW_TYPES[Kind.TIME]),
        "flow_id": draw.integers(0, 2**50, rows),
        "tx_id": np.zeros(rows, np.int64),
        "protocol": pa.repeat("http", rows),
        "app_proto": pa.repeat("http", rows),
        "src_ip": named(source, [f"10.{n // 250 % 250}.{n % 250}.{n // 62_500}" for n in range(SOURCES)]),
        "dst_ip": named(host % 62_500, [f"203.0.{n // 250}.{n % 250}" for n in range(62_500)]),
        "dst_port": np.full(rows, 80),
        "host": named(host, [f"host-{n}.example" for n in range(HOSTS + 1)]),
        "method": pa.repeat("GET", rows),
        "uri": uri,
        "uri_decoded": uri,
        "user_agent": named(source % 300, [f"Mozilla/5.0 (bench {n}) Gecko" for n in range(300)]),
        "status": np.where(draw.random(rows) < 0.02, 502, 200),
        "response_bytes": draw.integers(0, 90_000, rows),
        "dst_org": named(host % 500, [f"Org {n}" for n in range(500)]),
        "hits": _hits(draw.random(rows) < 0.001),
    }
    arrays = [pa.array(known[field.name]).cast(field.type) if field.name in known else pa.nulls(rows, field.type)
              for field in SESSION_SCHEMA]  # fmt: skip
    return pa.Table.from_arrays(arrays, schema=SESSION_SCHEMA)


def _hits(is_hit: Any) -> Any:
    """Return one rule hit where there is one, and null elsewhere."""
    import numpy as np
    import pyarrow as pa

    from detection.tables import HIT_TYPE, HITS_TYPE

    hit = {"sid": 2_000_001, "gid": 1, "rev": 1, "signature": "BENCH rule", "category": "c", "severity": 2,
           "action": "allowed", "scope": "transaction"}  # fmt: skip
    values = pa.array([hit] * int(is_hit.sum()), HIT_TYPE)
    offsets = np.concatenate([[0], np.cumsum(is_hit)]).astype(np.int32)
    places = pa.array(offsets, mask=np.concatenate([~is_hit, [False]]))
    return pa.ListArray.from_arrays(places, values).cast(HITS_TYPE)
