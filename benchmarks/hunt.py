"""Hunts over millions of stored sessions with scores, as the page asks them: counts in sessions and hosts.

Each question is asked of the product (names looked up, files chosen by the database, filter compiled, DuckDB) and of
DuckDB alone, by SQL written by hand over the same files, on a kept connection that has read what they begin with. Warm:
the median of some rounds, each of ours followed by one of theirs. Cold: the first question of a new process, the pages
of the files given back to the system before (what lies below this machine may still keep them).

ETALON_BENCH_SESSIONS=10_000_000 asks that many; ETALON_BENCH_KEPT=FOLDER keeps the files for the next time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import _hunt_traffic as traffic
from benchmarks._house import measured_apart, prepare_django

if TYPE_CHECKING:
    import duckdb

SESSIONS = traffic.SESSIONS
ROUNDS = 5
LIMIT = 1.0  # seconds, warm, over all; a day in a tenth
ONE_DAY = "start >= 2026-03-10 and start < 2026-03-11"
_COUNT = "SELECT count(*), count(DISTINCT s.src_ip), sum(len(s.hits)) FROM sessions s"
_SCORED = "JOIN (SELECT rid FROM scores WHERE raw >= 0.8472978603872034) m ON m.rid = s.rid"
_ON_THAT_DAY = "s.start >= TIMESTAMPTZ '2026-03-10 00:00:00+00' AND s.start < TIMESTAMPTZ '2026-03-11 00:00:00+00'"


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
    Ask("one name on one day", f'{ONE_DAY} and dst.dns == "host-3.example"',
        f"WHERE {_ON_THAT_DAY} AND s.host = 'host-3.example'", LIMIT / 10),
)  # fmt: skip


def rows() -> list[dict[str, Any]]:
    """Return one row per question."""
    return measured_apart("hunt", os.environ.get("ETALON_BENCH_KEPT", ""))


def measure() -> list[dict[str, Any]]:
    begun = time.perf_counter()
    paths = traffic.files(traffic.build(SESSIONS))
    size = sum(path.stat().st_size for some in paths for path in some) / 1e9
    told = f"{SESSIONS:,} sessions, {len(paths[0])} files, {size:.1f} GB, built in {time.perf_counter() - begun:.0f} s"
    print(told, file=sys.stderr, flush=True)
    with ExitStack() as stack:
        bare = stack.enter_context(_bare(paths))
        found = [_row(ask, bare, paths) for ask in ASKS]
    return [*found, *(_page_row(name, work) for name, work in PAGES.items())]


def _row(ask: Ask, bare: duckdb.DuckDBPyConnection, paths: tuple[list[Path], list[Path]]) -> dict[str, Any]:
    ours, theirs = partial(_ours, ask.text), partial(_theirs, ask, bare)
    found, expected = ours(), theirs()
    if found != expected:
        raise AssertionError(f"{ask.name}: {found} here, {expected} by hand")
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(ROUNDS)]
    warm, by_hand = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "name": f"hunt of {SESSIONS:,}: {ask.name} ({found[0]:,} sessions, {found[1]:,} hosts), s",
        "ours": f"{warm:.3f} warm, {_cold(ask.text, paths):.3f} cold",
        "against": "SQL by hand, the same files",
        "theirs": f"{by_hand:.3f}",
        "ratio": round(by_hand / warm, 2),
        "target": f"< {ask.limit:g} s warm",
        "holds": warm < ask.limit,
    }


def _page_row(name: str, work: Callable[[], object]) -> dict[str, Any]:
    """A fragment of the page, all that it shows."""
    work()
    warm = statistics.median(_seconds(work) for _ in range(ROUNDS))
    return {
        "name": f"hunt of {SESSIONS:,}: {name}, s",
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
    from models_registry.services.hunt_counts import count

    found = count(hunts.prepare(text))
    return found.sessions, found.hosts, found.rule_hits


def _theirs(ask: Ask, bare: duckdb.DuckDBPyConnection) -> tuple[int, int, int]:
    [(sessions, hosts, hits)] = bare.execute(f"{_COUNT} {ask.sql}").fetchall()
    return sessions, hosts, int(hits or 0)


def _bare(paths: tuple[list[Path], list[Path]]) -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    connection.execute("LOAD parquet")
    connection.execute("SET parquet_metadata_cache = true")
    for name, files in zip(("sessions", "scores"), paths, strict=True):
        listed = ", ".join(f"'{path}'" for path in files)
        connection.execute(f"CREATE TEMP VIEW {name} AS FROM read_parquet([{listed}])")
    return connection


# ---- fragments of the page


def _newest() -> None:
    from labeling.services import hunts
    from labeling.views.hunts import LISTED
    from models_registry.services.hunts import newest, rows

    hunt = hunts.prepare('dst.dns == "host-3.example"')
    rows(hunt, newest(hunt, 50), LISTED)


def _groups() -> None:
    from labeling.services import hunts
    from models_registry.services.hunts import groups

    groups(hunts.prepare(""), "dst.dns")


def _looks() -> None:
    from labeling.services import hunts
    from models_registry.services.hunts import groups

    groups(hunts.prepare(""), "look")


def _survey() -> None:
    from labeling.services import hunts
    from models_registry.services.hunt_counts import survey

    survey(hunts.prepare(ASKS[0].text), 60)


PAGES = {
    "all figures and the bars of the first": _survey,
    "newest 50 of one name": _newest,
    "the twenty commonest names with their hosts": _groups,
    "the twenty commonest looks with their hosts": _looks,
}


# ---- cold


def _cold(text: str, paths: tuple[list[Path], list[Path]]) -> float:
    """Return what the first question of a new process takes."""
    for path in (*paths[0], *paths[1]):
        _forget(path)
    command = [sys.executable, "-m", "benchmarks.hunt", text]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _forget(path: Path) -> None:
    """Give the pages of a file back to the system."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


if __name__ == "__main__":
    prepare_django()
    print(_seconds(partial(_ours, sys.argv[1])) if len(sys.argv) > 1 else json.dumps(measure()))
