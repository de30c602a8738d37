"""The label cycle: answer an item and get the next one, through the web server as production runs it.

Each database is filled once per size, in a folder of its own. Experts are processes that read the next item out of the
answer to the last: one alone, then eight, both without thinking, then eight who think for half a second while traffic
is taken in at nice 10 as docs/operations/ says. All share the machine with the server, so that a rate is what is left
for it. Sizes up to 100,000 items unless ETALON_BENCH_ITEMS names others.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import _experts, _pages, _serving, _workshop
from benchmarks._experts import Shift
from benchmarks.traffic_files import ROOT

SIZES = "10000,100000"
SECONDS = 10.0
THINKING = 0.5  # seconds
RATE, WAIT = 200, 50.0  # cycles/s with eight experts, and milliseconds within which 95 of 100 have their next item
THREADS = {"sqlite": 1, "postgresql": 2}  # of a worker: writers that wait inside SQLite are served unfairly
PATH = f"/queues/{_workshop.SLUG}/work/"


def rows() -> list[dict[str, Any]]:
    sizes = [int(size) for size in os.environ.get("ETALON_BENCH_ITEMS", SIZES).split(",")]
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder:
            found += _measured_in(folder, f"sqlite:///{folder}/bench.sqlite3", size)
        with _postgres() as url, tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder:
            found += _measured_in(folder, url, size)
    return found


@contextmanager
def _postgres() -> Iterator[str]:
    """Start a server that keeps what it says it keeps."""
    from tests.with_postgres import temporary_server

    with temporary_server(durable=True) as url:
        yield url


def _measured_in(folder: str, database: str, size: int) -> list[dict[str, Any]]:
    environment = os.environ | {
        "ETALON_DEVELOPMENT": "1",
        "DATABASE_URL": database,
        "ETALON_STORAGE": f"file://{folder}/storage",
        "ETALON_VAR": folder,
    }
    command = [sys.executable, "-m", "benchmarks.label_cycle", str(size)]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(size: int) -> list[dict[str, Any]]:
    from django.db import connection, connections

    vendor = connection.vendor
    workshop = _workshop.fill(size)
    cookies = [_signed_in(pk) for pk in workshop.experts]
    connections.close_all()
    name = f"label cycle, {'SQLite' if vendor == 'sqlite' else 'PostgreSQL'}, {size:,} items"
    with _serving.serving(THREADS[vendor]) as server:
        _run(server, cookies[:1], 1.0)
        before = server.memory()
        found = _closed_loop(f"{name}, 1 expert", server, cookies[:1], target=None)
        found += _closed_loop(f"{name}, 8 experts", server, cookies, target=RATE)
        with _intake():
            shifts, _cpu = _run(server, cookies, SECONDS, THINKING)
        found.append(_waiting(f"{name}, 8 thinking, beside intake", shifts))
        found.append(_row(f"{name}, MB of a web process (theirs: before)", server.memory(), before, None))
    found.append(_doubles(f"{name}, items answered twice", workshop.labels))
    return found + _pages.rows(name, workshop.experts[0])


def _closed_loop(
    name: str, server: _serving.Server, cookies: Sequence[dict[str, str]], target: float | None
) -> list[dict[str, Any]]:
    shifts, cpu = _run(server, cookies, SECONDS)
    cycles = sum(len(shift.times) for shift in shifts)
    answered = sum(len(shift.items) for shift in shifts)
    return [
        _row(f"{name}, cycles/s", cycles / SECONDS, None, target, at_least=True),
        _waiting(name, shifts),
        _row(
            f"{name}, ms of CPU a cycle (server)",
            cpu / answered * 1000,
            None,
            None,
        ),
    ]


def _run(
    server: _serving.Server, cookies: Sequence[dict[str, str]], seconds: float, thinking: float = 0.0
) -> tuple[list[Shift], float]:
    before = server.cpu()
    shifts = _experts.work(server.port, cookies, PATH, seconds, thinking)
    if problems := [shift.problem for shift in shifts if shift.problem]:
        raise RuntimeError(problems[0])
    return shifts, server.cpu() - before


def _waiting(name: str, shifts: Sequence[Shift]) -> dict[str, Any]:
    times = sorted(moment * 1000 for shift in shifts for moment in shift.times)
    p95 = statistics.quantiles(times, n=20)[-1]
    name = f"{name}, p95 ms (theirs: p50)"
    return _row(name, p95, statistics.median(times), WAIT)


def _row(
    name: str, ours: float, theirs: float | None, target: float | None, *, at_least: bool = False
) -> dict[str, Any]:
    holds = target is None or (ours >= target if at_least else ours <= target)
    return {
        "name": name,
        "ours": round(ours, 2),
        "against": "-",
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
    return _row(name, answers.filter(answers__gt=1).count(), None, 0)


def _signed_in(pk: int) -> dict[str, str]:
    """Return the cookies of a person who has signed in."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.cached_db import SessionStore

    from accounts.models import User

    session = SessionStore()
    session[SESSION_KEY] = str(pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = User.objects.get(pk=pk).get_session_auth_hash()
    session.save()
    assert session.session_key
    return {settings.SESSION_COOKIE_NAME: session.session_key, settings.CSRF_COOKIE_NAME: "a" * 32}


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
    from benchmarks.__main__ import _prepare_django

    _prepare_django()
    if sys.argv[1] == "intake":
        take_in()
    else:
        print(json.dumps(measure(int(sys.argv[1]))))
