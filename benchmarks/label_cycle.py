"""The label cycle: answer an item and get the next one, through the web server as production runs it.

A database is prepared once per run and copied for each size, then filled by statements of its own. Experts are
processes that read the next item out of the answer to the last: one alone, then eight, both without thinking, then
eight who think for half a second while traffic is taken in at nice 10 as docs/operations/ says. All share the machine
with the server, so that a rate is what is left for it. Pages are measured at the largest size. Sizes are up to 100,000
items unless ETALON_BENCH_ITEMS names others ("1000000": minutes more to fill each database).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from benchmarks import _experts, _pages, _serving, _workshop
from benchmarks._experts import Shift
from benchmarks._house import prepare_django, run_in
from benchmarks.traffic_files import ROOT

SIZES = "10000,100000"
SECONDS = 5.0  # of one run without thinking
THINKING = 0.5  # seconds before each answer
THOUGHTFUL = 10.0  # seconds of the run with thinking
RATE, WAIT = 200, 50.0  # cycles/s with eight experts, and milliseconds within which 95 of 100 have their next item
THREADS = {"sqlite": 1, "postgresql": 2}  # of a worker: writers that wait inside SQLite are served unfairly
# what whoever runs it sets: memory for its own cache, and fewer checkpoints while a million items are filled in
POSTGRES = ("shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=15min")
PATH = f"/queues/{_workshop.SLUG}/work/"


def rows() -> list[dict[str, Any]]:
    sizes = [int(size) for size in os.environ.get("ETALON_BENCH_ITEMS", SIZES).split(",")]
    found = []
    for house in (_sqlite, _postgres):
        with tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder, house(folder) as copy:
            found += [row for size in sizes for row in _measured(folder, copy(size), size, pages=size == max(sizes))]
    return found


@contextmanager
def _sqlite(folder: str) -> Iterator[Callable[[int], str]]:
    """Prepare a database; yield what copies it for a size and returns the copy's URL."""
    base = f"{folder}/base.sqlite3"
    run_in(folder, "label_cycle", "prepare", database=f"sqlite:///{base}")

    def copy(size: int) -> str:
        return f"sqlite:///{shutil.copy(base, f'{folder}/items-{size}.sqlite3')}"

    yield copy


@contextmanager
def _postgres(folder: str) -> Iterator[Callable[[int], str]]:
    """The same on a server of our own that keeps what it says it keeps."""
    import psycopg

    from tests.with_postgres import temporary_server

    with temporary_server(durable=True, settings=POSTGRES) as url:
        run_in(folder, "label_cycle", "prepare", database=url)
        host = unquote(urlsplit(url).netloc.rpartition("@")[2])

        def copy(size: int) -> str:
            with psycopg.connect(host=host, user="postgres", dbname="template1", autocommit=True) as server:
                server.execute(f"CREATE DATABASE items_{size:d} TEMPLATE postgres")
            return f"{url.rpartition('/')[0]}/items_{size:d}"

        yield copy


def _measured(folder: str, database: str, size: int, *, pages: bool) -> list[dict[str, Any]]:
    words = ["measure", str(size), *["pages"] * pages]
    found: list[dict[str, Any]] = json.loads(run_in(folder, "label_cycle", *words, database=database))
    return found


def measure(size: int, *, pages: bool) -> list[dict[str, Any]]:
    from django.db import connection, connections

    vendor = connection.vendor
    began = time.monotonic()
    workshop = _workshop.fill(size)
    print(f"{size:,} items in {vendor}: filled in {time.monotonic() - began:.0f} s", file=sys.stderr)
    cookies = [_serving.signed_in(pk) for pk in workshop.experts]
    connections.close_all()
    name = f"label cycle, {'SQLite' if vendor == 'sqlite' else 'PostgreSQL'}, {size:,} items"
    with _serving.serving(THREADS[vendor]) as server:
        _run(server, cookies, 1.0)
        before = server.memory()
        found = _closed_loop(f"{name}, 1 expert", server, cookies[:1], target=None)
        found += _closed_loop(f"{name}, 8 experts", server, cookies, target=RATE)
        with _intake():
            shifts, _cpu = _run(server, cookies, THOUGHTFUL, THINKING)
        found.append(_waiting(f"{name}, 8 thinking, beside intake", shifts))
        found.append(_row(f"{name}, MB of a web process", server.memory(), None, "before", before))
    found.append(_doubles(f"{name}, items answered twice", workshop.labels))
    found.append(_row(f"{name}, queries a cycle", _pages.queries_of_an_answer(workshop.experts[0], PATH), None))
    return found + (_pages.rows(name, workshop.experts[0]) if pages else [])


def _closed_loop(
    name: str, server: _serving.Server, cookies: Sequence[dict[str, str]], target: float | None
) -> list[dict[str, Any]]:
    beside = _database_cpu()
    shifts, cpu = _run(server, cookies, SECONDS)
    beside = _database_cpu() - beside
    cycles = sum(len(shift.times) for shift in shifts)
    answered = sum(len(shift.items) for shift in shifts)
    spent = _row(f"{name}, ms of web CPU a cycle", cpu / answered * 1000, None, "database", beside / answered * 1000)
    return [
        _row(f"{name}, cycles/s", cycles / SECONDS, target, at_least=True),
        _waiting(name, shifts),
        spent if beside else _row(str(spent["name"]), spent["ours"], None),  # SQLite works inside the web process
    ]


def _run(
    server: _serving.Server, cookies: Sequence[dict[str, str]], seconds: float, thinking: float = 0.0
) -> tuple[list[Shift], float]:
    before = server.cpu()
    shifts = _experts.work(server.port, cookies, PATH, seconds, thinking)
    if problems := [shift.problem for shift in shifts if shift.problem]:
        raise RuntimeError(problems[0])
    return shifts, server.cpu() - before


def _database_cpu() -> float:
    """Return the seconds of CPU that all processes of the database server have taken; it is ours, on this machine."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    own = Path(f"/proc/{connection.connection.info.backend_pid}/stat").read_text()
    return sum(_serving.seconds(pid) for pid in _serving.family(int(own.rpartition(")")[2].split()[1])))


def _waiting(name: str, shifts: Sequence[Shift]) -> dict[str, Any]:
    times = sorted(moment * 1000 for shift in shifts for moment in shift.times)
    p95 = statistics.quantiles(times, n=20, method="inclusive")[-1]
    return _row(f"{name}, p95 ms", p95, WAIT, "p50", statistics.median(times))


def _row(
    name: str,
    ours: float,
    target: float | None,
    against: str = "-",
    theirs: float | None = None,
    *,
    at_least: bool = False,
) -> dict[str, Any]:
    holds = target is None or (ours >= target if at_least else ours <= target)
    return {
        "name": name,
        "ours": round(ours, 2),
        "against": against,
        "theirs": None if theirs is None else round(theirs, 2),
        "ratio": None,
        "target": target,
        "holds": holds,
    }


def _doubles(name: str, last: int) -> dict[str, Any]:
    """One answer settles an item of this queue: a second one means that two people had it."""
    from django.db.models import Count

    from labeling.models import Label

    answers = Label.objects.filter(pk__gt=last).values("item").annotate(answers=Count("pk"))
    return _row(name, answers.filter(answers__gt=1).count(), 0)


@contextmanager
def _intake() -> Iterator[None]:
    """Take traffic in, as fast as one process at nice 10 can, while others work."""
    command = ["nice", "-n", "10", sys.executable, "-m", "benchmarks.label_cycle", "intake"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    process.stdout.readline()  # it has begun
    try:
        yield
    finally:
        process.stdin.close()
        process.wait(60)


def take_in() -> None:
    """Take the same hour of synthetic traffic in, each time as another file, until the standard input ends."""
    import io
    import select

    from django.core.management import call_command

    from traffic.services import ingest, rule_sets

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "eve.json"
        call_command("simulate", out=str(log), hours=6, sessions_per_day=40_000, verbosity=0, stdout=io.StringIO())
        data = log.read_bytes()
    sensor = rule_sets.sensor_named("bench")
    print("begun", flush=True)
    lines, began = 0, time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0]:
        name = f"bench-{time.time_ns()}.json"
        # other bytes: the same ones would be refused as a duplicate
        ingest.ingest_stream(io.BytesIO(data + b"\n" + b" " * (time.time_ns() % 5000)), name, sensor)
        lines += data.count(b"\n")
    print(f"beside it {lines / (time.monotonic() - began):,.0f} lines/s were taken in", file=sys.stderr)


if __name__ == "__main__":
    prepare_django()
    if sys.argv[1] == "intake":
        take_in()
    elif sys.argv[1] == "prepare":
        _workshop.prepare()
    else:
        print(json.dumps(measure(int(sys.argv[2]), pages="pages" in sys.argv[3:])))
