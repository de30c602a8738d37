"""Hunts over ten million stored sessions with scores, as the page asks them: counts in sessions and hosts.

Each question is asked of the product (names looked up, files chosen by the database, filter compiled, DuckDB) and of
DuckDB alone, by SQL written by hand over the same files. Warm: the median of some rounds, each of ours followed by one
of theirs. Cold: the page cache of the files is dropped before.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._house import measured_apart

SEGMENTS = int(os.environ.get("ETALON_BENCH_SEGMENTS", "200"))  # of ROWS each, SEGMENTS / 20 days' ends between
ROWS = 50_000
DAYS = 20
ROUNDS = 5
LIMIT = 1.0  # seconds, warm, over all; a day in a tenth
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
DAY = "start >= 2026-03-10 and start < 2026-03-11"
_COUNT = "SELECT count(*), count(DISTINCT s.src_ip), sum(len(s.hits)) FROM sessions s"
_SCORED = "JOIN (SELECT rid FROM scores WHERE raw >= 0.8472978603872034) m ON m.rid = s.rid"


@dataclass(frozen=True, slots=True)
class Ask:
    name: str
    text: str  # for the product
    sql: str  # what follows "FROM sessions s", for DuckDB alone
    limit: float = LIMIT


ASKS = (
    Ask("a model wrong elsewhere", 'alert.msg == "[ML-TEST] Looks like ktalk.exe" and dst.dns != "host-1.example"',
        f"{_SCORED} WHERE s.host IS DISTINCT FROM 'host-1.example'"),
    Ask("an application at another owner's", 'app_service=="ktalk.exe" && !dst.geo.org == "Org 1" and app_proto=="http"'
        ' && flags == "APP_SERVICE_ML"',
        f"{_SCORED} WHERE s.dst_org IS DISTINCT FROM 'Org 1' AND s.app_proto = 'http'"),
    Ask("one name and status", 'dst.dns == "host-3.example" and http.status >= 500',
        "WHERE s.host = 'host-3.example' AND s.status >= 500"),
    Ask("part of a request target", 'http.url ~ "*../../*"', "WHERE s.uri LIKE '%../../%'"),
    Ask("all but one name", 'dst.dns != "host-1.example"', "WHERE s.host IS DISTINCT FROM 'host-1.example'"),
    Ask("one rule", "rule.sid == 2000001", "WHERE list_contains(list_transform(s.hits, lambda h: h.sid), 2000001)"),
    Ask("one name on one day", f'{DAY} and dst.dns == "host-3.example"',
        "WHERE s.start >= TIMESTAMPTZ '2026-03-10 00:00:00+00' AND s.start < TIMESTAMPTZ '2026-03-11 00:00:00+00'"
        " AND s.host = 'host-3.example'", LIMIT / 10),
)  # fmt: skip


def rows() -> list[dict[str, Any]]:
    """Return one row per question."""
    return measured_apart("hunt")


def measure() -> list[dict[str, Any]]:
    begun = time.perf_counter()
    paths = _build()
    sessions = SEGMENTS * ROWS
    print(f"{sessions:,} sessions built in {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)
    return [_row(ask, sessions, paths) for ask in ASKS] + [_newest(sessions)]


def _row(ask: Ask, sessions: int, paths: tuple[list[Path], list[Path]]) -> dict[str, Any]:
    ours, theirs = partial(_ours, ask.text), partial(_theirs, ask, paths)
    found, expected = ours(), theirs()
    if found != expected:
        raise AssertionError(f"{ask.name}: {found} here, {expected} by hand")
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(ROUNDS)]
    warm, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
    _forget(paths)
    cold = _seconds(ours)
    return {
        "name": f"hunt of {sessions:,}: {ask.name} ({found[0]:,} sessions, {found[1]:,} hosts), s",
        "ours": f"{warm:.3f} warm, {cold:.3f} cold",
        "against": "SQL by hand, the same files",
        "theirs": f"{bare:.3f}",
        "ratio": round(bare / warm, 2),
        "target": f"< {ask.limit:g} s warm",
        "holds": warm < ask.limit,
    }


def _newest(sessions: int) -> dict[str, Any]:
    """The first fifty rows of the page, all that it shows of them."""
    page = partial(_page, 'dst.dns == "host-3.example"')
    page()
    warm = statistics.median(_seconds(page) for _ in range(ROUNDS))
    return {
        "name": f"hunt of {sessions:,}: newest 50 of one name, s",
        "ours": f"{warm:.3f} warm",
        "against": "",
        "theirs": "",
        "ratio": None,
        "target": f"< {LIMIT:g} s warm",
        "holds": warm < LIMIT,
    }


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _ours(text: str) -> tuple[int, int, int]:
    from labeling.services import hunts
    from models_registry.services.hunts import count

    found = count(hunts.prepare(text))
    return found.sessions, found.hosts, found.rule_hits


def _page(text: str) -> list[dict[str, Any]]:
    from labeling.services import hunts
    from labeling.views.hunts import LISTED
    from models_registry.services.hunts import newest, rows

    hunt = hunts.prepare(text)
    return rows(hunt, newest(hunt, 50), LISTED)


def _theirs(ask: Ask, paths: tuple[list[Path], list[Path]]) -> tuple[int, int, int]:
    import duckdb

    with duckdb.connect(config={"threads": 2}) as connection:
        for name, files in zip(("sessions", "scores"), paths, strict=True):
            listed = ", ".join(f"'{path}'" for path in files)
            connection.execute(f"CREATE TEMP VIEW {name} AS FROM read_parquet([{listed}])")
        [(sessions, hosts, hits)] = connection.execute(f"{_COUNT} {ask.sql}").fetchall()
    return sessions, hosts, int(hits or 0)


def _forget(paths: tuple[list[Path], list[Path]]) -> None:
    """Drop the files from the page cache; what lies below this machine may still keep them."""
    for path in (*paths[0], *paths[1]):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


# ---- ten million sessions: names, sources and request targets as skewed as real ones


def _build() -> tuple[list[Path], list[Path]]:
    import numpy as np
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from models_registry.models import Detector, RuleMappingVersion, TrainingSet, Version
    from traffic.models import Sensor

    detector = Detector.objects.create(name="ktalk", positive_class="ktalk.exe")
    mapping = RuleMappingVersion.objects.create(detector=detector, number=1, mapping={}, digest="0" * 64)
    training = TrainingSet.objects.create(detector=detector, number=1, digest="0" * 64, path="none", rows=1, counts={})
    version = Version.objects.create(detector=detector, number=1, stage="silent", training_set=training, threshold=0.7,
                                     contract="http-1", onnx_path="none", onnx_digest="0" * 64, text_path="none",
                                     text_digest="0" * 64)  # fmt: skip
    sensor = Sensor.objects.create(name="bench")
    draw = np.random.default_rng(7)
    made = [_segment(number, draw, sensor, version, mapping) for number in range(SEGMENTS)]
    return [one for one, _ in made], [one for _, one in made]


def _segment(number: int, draw: Any, sensor: Any, version: Any, mapping: Any) -> tuple[Path, Path]:
    import pyarrow as pa

    from detection.tables import SCORE_OPTIONS, SCORE_SCHEMA, SESSION_OPTIONS
    from models_registry.models import ScoreFile
    from traffic import storage
    from traffic.models import Segment

    step = timedelta(days=DAYS) / SEGMENTS
    first = BEGIN + number * step
    segment = Segment.objects.create(sensor=sensor, source="bench", sessions_path=f"sessions/{number}.parquet",
                                     raw_path="none", digest="0" * 64, geo_digest="1" * 64, rows=ROWS, first_at=first,
                                     last_at=first + step, sealed_at=first)  # fmt: skip
    table = _sessions(segment.pk, int(first.timestamp() * 1e6), int(step.total_seconds() * 1e6), draw)
    storage.put_table(segment.sessions_path, table, **SESSION_OPTIONS)
    raw = draw.normal(-4, 1.6, ROWS)
    scores = {"rid": table["rid"], "raw": raw, "verdict": raw > 0, "rules": [1] * ROWS, "cell": [0] * ROWS,
              "src_ip": table["src_ip"]}  # fmt: skip
    path = f"scores/{number}.parquet"
    storage.put_table(path, pa.table(scores).cast(SCORE_SCHEMA), **SCORE_OPTIONS)
    ScoreFile.objects.create(version=version, segment=segment, mapping=mapping, threshold=0.7, path=path,
                             digest="0" * 64, rows=ROWS)  # fmt: skip
    return storage.local_path(segment.sessions_path), storage.local_path(path)


def _sessions(segment: int, first: int, span: int, draw: Any) -> Any:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from detection.sessions import Kind
    from detection.tables import ARROW_TYPES, HITS_TYPE, SESSION_SCHEMA, rids

    def texts(*parts: Any) -> Any:
        return pc.binary_join_element_wise(*[part if isinstance(part, str) else pa.array(part).cast(pa.string())
                                             for part in parts], "")  # fmt: skip

    host = np.minimum(draw.zipf(1.3, ROWS), 100_000)
    source = np.minimum(draw.zipf(1.2, ROWS) * 7 % 50_000, 49_999)
    page = draw.integers(0, 6_000_000, ROWS)
    climbs = np.where(draw.random(ROWS) < 0.001, "../../", "")
    start = np.sort(first + draw.integers(0, span, ROWS))
    hit = {"sid": 2_000_001, "gid": 1, "rev": 1, "signature": "BENCH rule", "category": "c", "severity": 2,
           "action": "allowed", "scope": "transaction"}  # fmt: skip
    known = {
        "rid": rids(segment, ROWS),
        "start": pa.array(start).view(ARROW_TYPES[Kind.TIME]),
        "flow_id": draw.integers(0, 2**50, ROWS),
        "tx_id": np.zeros(ROWS, np.int64),
        "protocol": pa.repeat("http", ROWS),
        "app_proto": pa.repeat("http", ROWS),
        "src_ip": texts("10.", source // 250 % 250, ".", source % 250, ".", source // 62_500),
        "dst_ip": texts("203.0.", host // 250 % 250, ".", host % 250),
        "dst_port": np.full(ROWS, 80),
        "host": texts("host-", host, ".example"),
        "method": pa.repeat("GET", ROWS),
        "uri": texts("/app/", page % 997, "/", climbs, "item-", page, "?from=list&page=", page % 40),
        "uri_decoded": texts("/app/", page % 997, "/", climbs, "item-", page, "?from=list&page=", page % 40),
        "user_agent": texts("Mozilla/5.0 (bench ", source % 300, ") Gecko"),
        "status": np.where(draw.random(ROWS) < 0.02, 502, 200),
        "response_bytes": draw.integers(0, 90_000, ROWS),
        "dst_org": texts("Org ", host % 500),
        "hits": pa.array([[hit] if one else None for one in (draw.random(ROWS) < 0.001).tolist()], HITS_TYPE),
    }
    arrays = [pa.array(known[field.name]).cast(field.type) if field.name in known else pa.nulls(ROWS, field.type)
              for field in SESSION_SCHEMA]  # fmt: skip
    return pa.Table.from_arrays(arrays, schema=SESSION_SCHEMA)


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    print(json.dumps(measure()))
