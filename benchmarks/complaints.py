"""Complaints: 10,000 of them, 50 people of support at once: the pages they open, and filing.

Each person serves ten of 200 customers and turns to the next page every four seconds; filing scores the evidence by a
real bundle. Everything goes through the web server as production runs it, on SQLite and on PostgreSQL; clients and
server share the machine. Beside them the ticks that look over all complaints are timed. ETALON_BENCH_COMPLAINTS and
ETALON_BENCH_PEOPLE name other sizes.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks import _serving
from benchmarks._house import databases, prepare_django, run_in

CUSTOMERS, EACH = 200, 10
PAGE_P95 = 200.0  # milliseconds: the shell of any page
FILING_P95 = 500.0  # milliseconds: evidence is read, scored, stored, and an expert asked
TICK = 1_000.0  # milliseconds: a tick that comes every 30 s
THINKING = 4.0  # seconds between two pages of one person
ROUNDS = 3  # of the habits of one person
THREADS = {"sqlite": 1, "postgresql": 2}  # of a web worker, as production runs it
VENDORS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


def rows() -> list[dict[str, Any]]:
    told = [run_in(folder, "complaints", database=database) for folder, database in databases()]
    return [row for found in told for row in json.loads(found)]


def measure() -> list[dict[str, Any]]:
    """Fill a house and measure it; the process has a database of its own."""
    from django.db import connection, connections

    count = int(os.environ.get("ETALON_BENCH_COMPLAINTS", "10000"))
    people, served = _fill(count, int(os.environ.get("ETALON_BENCH_PEOPLE", "50")))
    vendor = connection.vendor
    name = f"complaints, {VENDORS[vendor]}, {count:,}"
    if vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # as autovacuum does within a minute
    ticks = [_tick(name, title, work) for title, work in _ticks()]
    cookies = [_serving.signed_in(pk) for pk in people]
    connections.close_all()
    with _serving.serving(THREADS[vendor]) as server:
        _shift(server.port, cookies[:1], served[:1], thinking=0.0, rounds=1)  # warm: both workers have loaded
        alone = _shift(server.port, cookies[:1], served[:1], thinking=0.0, rounds=3)
        crowd = _shift(server.port, cookies, served, thinking=THINKING, rounds=ROUNDS)
    found = [_row(f"{name}, {kind}, one person, p50 ms", statistics.median(taken)) for kind, taken in alone.items()]
    for kind, taken in crowd.items():
        limit = FILING_P95 if kind == "filing" else PAGE_P95
        p95 = statistics.quantiles(taken, n=20, method="inclusive")[-1]
        found.append(_row(f"{name}, {kind}, {len(people)} people, p95 ms of {len(taken)}", p95, limit))
    return found + ticks


def _row(name: str, milliseconds: float, limit: float | None = None) -> dict[str, Any]:
    found = {"name": name, "ours": round(milliseconds, 1), "against": "-", "theirs": None, "ratio": None}
    return found | {"target": limit, "holds": limit is None or milliseconds <= limit}


def _ticks() -> list[tuple[str, Any]]:
    from triage.services import announcements, complaints, deadlines

    return [
        ("follow", complaints.follow),
        ("collect", complaints.collect),
        ("watch deadlines", deadlines.watch),
        ("announce", announcements.collect),
    ]


def _tick(name: str, title: str, work: Any) -> dict[str, Any]:
    work()  # what waits for the first tick is done by it
    began = time.perf_counter()
    work()
    return _row(f"{name}, tick: {title}, ms", (time.perf_counter() - began) * 1000, TICK)


# --- a house with complaints ---------------------------------------------------------------------------------------


def _fill(count: int, crowd: int) -> tuple[list[int], list[list[int]]]:
    """Write the complaints; return who works, and whose customers are whose."""
    from django.core.management import call_command

    from accounts.models import User
    from accounts.roles import Role
    from models_registry.models import Customer
    from tests.models_registry.loop import keep_snapshot, make_loop, right_rows
    from tests.triage.conftest import build
    from triage.models import Serving

    call_command("migrate", verbosity=0)
    with tempfile.TemporaryDirectory() as folder:
        version = make_loop(Path(folder))
    keep_snapshot(version.detector, *right_rows())
    bundle = build(version)
    users = [User(username=f"support{number}", role=Role.SUPPORT, password="!") for number in range(crowd)]
    User.objects.bulk_create(users)
    Customer.objects.bulk_create(Customer(name=f"Customer {number:03}") for number in range(CUSTOMERS))
    customers = list(Customer.objects.order_by("pk"))
    served = [[customers[(at * 4 + n) % CUSTOMERS].pk for n in range(EACH)] for at in range(crowd)]
    people = list(User.objects.filter(role=Role.SUPPORT).order_by("pk").values_list("pk", flat=True))
    Serving.objects.bulk_create(
        Serving(user_id=pk, customer_id=one) for pk, mine in zip(people, served, strict=True) for one in mine
    )
    _complaints(count, version, bundle, customers, people)
    return people, served


def _complaints(count: int, version: Any, bundle: Any, customers: list[Any], people: list[int]) -> None:
    """Write complaints of a year: most of them told, a tenth waits, half of that for its fix."""
    from django.utils import timezone

    from detection.clock import Terms
    from detection.fingerprint import shape_of
    from detection.sources.suricata import session_row
    from labeling.services.records import stored_row, to_json
    from tests.models_registry.loop import http
    from triage.models import Case, Complaint, ComplaintState, Deadline, State

    now, chance, terms = timezone.now(), random.Random(1), Terms()
    assert terms.promise is not None
    flagged = session_row(http(7, "/?id=1' union select 1,2--"))
    told_row, shape = to_json(stored_row(flagged)), shape_of(flagged)
    case = Case.objects.create(detector=version.detector, shape=shape)
    clocks, heads, steps = [], [], []
    for number in range(1, count + 1):
        waits = number > count * 9 // 10
        confirmed = waits and number % 2 == 0
        at = now - (timedelta(hours=chance.uniform(0, 23)) if waits else timedelta(days=chance.uniform(1, 365)))
        due, told = at + terms.promise, None if waits else at + timedelta(hours=chance.uniform(1, 26))
        clocks.append(
            Deadline(pk=number, started_at=at, terms=terms.to_dict(), promised_at=due, due_at=due, stopped_at=told)
        )
        state = State.TOLD if not waits else State.CONFIRMED if confirmed else State.REPRODUCED
        heads.append(
            Complaint(
                pk=number, customer=chance.choice(customers), deadline_id=number, flagged="GET /", contact="soc",
                received_at=at, told_at=told, filed_by_id=chance.choice(people), shape=shape, row=told_row,
                case=case, state=state, bundle=bundle, detector=version.detector, version=version,
                score=0.9, threshold=0.7, reproduced=True,
            )
        )  # fmt: skip
        way = [State.RECEIVED, State.REPRODUCED]
        way += [State.CONFIRMED, State.FIXED_IN_BUNDLE, State.PUBLISHED, State.TOLD] if not waits else []
        way += [State.CONFIRMED] if confirmed else []
        span = (told or at) - at
        steps += [
            ComplaintState(
                complaint_id=number, state=step, at=at + span * (place / 5), reason="-",
                bundle=bundle if step in (State.FIXED_IN_BUNDLE, State.PUBLISHED) else None,
            )
            for place, step in enumerate(way)
        ]  # fmt: skip
    for model, found in ((Deadline, clocks), (Complaint, heads), (ComplaintState, steps)):
        model._default_manager.bulk_create(found, batch_size=500)  # type: ignore[arg-type]
    _count_on()


def _count_on() -> None:
    """Let the database go on counting behind the numbers that were given."""
    from django.core.management.color import no_style
    from django.db import connection

    from triage.models import Complaint, Deadline

    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [Complaint, Deadline]):
            cursor.execute(statement)


# --- people at work ------------------------------------------------------------------------------------------------


@dataclass
class _Shift:
    """What everybody at work shares."""

    port: int
    thinking: float  # seconds
    rounds: int
    times: dict[str, list[float]] = field(default_factory=dict)  # milliseconds by kind of request
    problems: list[str] = field(default_factory=list)


def _shift(
    port: int, cookies: list[dict[str, str]], served: list[list[int]], *, thinking: float, rounds: int
) -> dict[str, list[float]]:
    """Let everybody work at once; return the milliseconds of each kind of request."""
    shift = _Shift(port, thinking, rounds)
    people = enumerate(zip(cookies, served, strict=True))
    threads = [threading.Thread(target=_work, args=(shift, jar, mine, seed)) for seed, (jar, mine) in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if shift.problems:
        raise RuntimeError(shift.problems[0])
    return shift.times


def _work(shift: _Shift, jar: dict[str, str], mine: list[int], seed: int) -> None:
    chance = random.Random(seed)
    seen: list[str] = []
    time.sleep(chance.uniform(0, shift.thinking))
    for _round in range(shift.rounds):
        for kind, path, form in _habits(chance, mine, seen):
            body = urlencode(form | {"csrfmiddlewaretoken": "a" * 32}) if form else None
            began = time.perf_counter()
            status, text = _ask(shift.port, jar, path, body)
            shift.times.setdefault(kind, []).append((time.perf_counter() - began) * 1000)
            if status not in (200, 302):
                shift.problems.append(f"{path}: {status}")
            if shift.problems:
                return
            if kind == "list":
                seen[:] = re.findall(r'href="(/complaints/\d+/)"', text)
            time.sleep(chance.uniform(0.5, 1.5) * shift.thinking)


def _habits(chance: random.Random, mine: list[int], seen: list[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield what a person of support does, one thing after the other."""
    yield "home", "/", {}
    yield "list", "/complaints/", {}
    if seen:
        yield "one complaint", chance.choice(seen), {}
    yield "search", "/complaints/?q=soc", {}
    yield "a customer", f"/complaints/customers/{chance.choice(mine)}/", {}
    yield "figures", "/complaints/figures/", {}
    flagged = f"GET /{chance.getrandbits(32):x}?id=1%27%20union%20select%201 HTTP/1.1\nHost: intranet.example"
    yield "filing", "/complaints/new/", {"customer": chance.choice(mine), "flagged": flagged, "contact": "soc"}


def _ask(port: int, jar: dict[str, str], path: str, body: str | None) -> tuple[int, str]:
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
    if body is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST" if body else "GET", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


if __name__ == "__main__":
    prepare_django()
    print(json.dumps(measure()))
