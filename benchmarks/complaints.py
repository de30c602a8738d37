"""Complaints: 10,000 of them, 50 people of support at once: the pages they open, and filing.

Each person serves ten of 200 customers. Everything goes through the web server as production runs it; filing scores the
evidence by a real bundle."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import _serving
from benchmarks.traffic_files import ROOT

COMPLAINTS, PEOPLE, CUSTOMERS, EACH = 10_000, 50, 200, 10
SECONDS = 15.0
PAGE_P95 = 200.0  # milliseconds: the shell of any page
THINKING = 1.0  # seconds between two pages of one person


def rows() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder:
        environment = os.environ | {
            "ETALON_DEVELOPMENT": "1",
            "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3",
            "ETALON_STORAGE": f"file://{folder}/storage",
            "ETALON_VAR": folder,
        }
        command = [sys.executable, "-m", "benchmarks.complaints", "measure"]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
        found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
        return found


def measure() -> list[dict[str, Any]]:
    from django.db import connections

    from benchmarks.label_cycle import _signed_in

    people, customers, newest = _fill()
    cookies = [_signed_in(pk) for pk in people]
    connections.close_all()
    with _serving.serving(1) as server:
        times = _shift(server.port, cookies, customers, newest)
    name = f"complaints, SQLite, {COMPLAINTS:,} of them, {PEOPLE} people"
    return [_row(f"{name}, {kind}, p95 ms (theirs: p50)", taken) for kind, taken in sorted(times.items())]


def _row(name: str, times: list[float]) -> dict[str, Any]:
    p95 = statistics.quantiles(times, n=20)[-1]
    found = {"name": name, "ours": round(p95, 1), "against": "-", "theirs": round(statistics.median(times), 1)}
    return found | {"ratio": None, "target": PAGE_P95, "holds": p95 <= PAGE_P95}


def _fill() -> tuple[list[int], list[list[int]], int]:
    """Write the complaints; return who works, whose customers are whose, and the newest complaint."""
    from pathlib import Path

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
    users = [User(username=f"support{number}", role=Role.SUPPORT, password="!") for number in range(PEOPLE)]
    User.objects.bulk_create(users)
    Customer.objects.bulk_create(Customer(name=f"Customer {number:03}") for number in range(CUSTOMERS))
    customers = list(Customer.objects.order_by("pk"))
    served = [[customers[(at * 4 + n) % CUSTOMERS].pk for n in range(EACH)] for at in range(PEOPLE)]
    people = list(User.objects.filter(role=Role.SUPPORT).order_by("pk").values_list("pk", flat=True))
    Serving.objects.bulk_create(
        Serving(user_id=pk, customer_id=one) for pk, mine in zip(people, served, strict=True) for one in mine
    )
    return people, served, _complaints(version, bundle, customers, people)


def _complaints(version: Any, bundle: Any, customers: list[Any], people: list[int]) -> int:
    """Write complaints of a year: most of them told, a tenth waits."""
    from datetime import timedelta

    from django.utils import timezone

    from detection.clock import Terms
    from triage.models import Complaint, ComplaintState, Deadline, State

    now, chance, terms = timezone.now(), random.Random(1), Terms()
    assert terms.promise is not None
    clocks, heads, steps = [], [], []
    for number in range(1, COMPLAINTS + 1):
        waits = number > COMPLAINTS * 9 // 10
        at = now - (timedelta(hours=chance.uniform(0, 23)) if waits else timedelta(days=chance.uniform(1, 365)))
        due, told = at + terms.promise, None if waits else at + timedelta(hours=chance.uniform(1, 26))
        clocks.append(
            Deadline(pk=number, started_at=at, terms=terms.to_dict(), promised_at=due, due_at=due, stopped_at=told)
        )
        common = {"bundle": bundle, "detector": version.detector, "version": version, "score": 0.9, "threshold": 0.7}
        heads.append(
            Complaint(
                pk=number, customer=chance.choice(customers), deadline_id=number, flagged="GET /", contact="soc",
                received_at=at, told_at=told, filed_by_id=chance.choice(people), shape=f"{number % 500:064x}",
                state=State.RECEIVED if waits else State.TOLD, **common,
            )
        )  # fmt: skip
        way = (State.RECEIVED, State.REPRODUCED, State.CONFIRMED, State.FIXED_IN_BUNDLE, State.PUBLISHED, State.TOLD)
        span = (told or at) - at
        steps += [
            ComplaintState(complaint_id=number, state=state, at=at + span * (place / 5), reason="-")
            for place, state in enumerate(way[:1] if waits else way)
        ]
    for model, found in ((Deadline, clocks), (Complaint, heads), (ComplaintState, steps)):
        model._default_manager.bulk_create(found, batch_size=500)  # type: ignore[arg-type]
    return COMPLAINTS


def _shift(port: int, cookies: list[dict[str, str]], served: list[list[int]], newest: int) -> dict[str, list[float]]:
    """Let everybody work at once; return the milliseconds of each kind of request."""
    times: dict[str, list[float]] = {}
    problems: list[str] = []
    until = time.monotonic() + SECONDS
    threads = [
        threading.Thread(target=_work, args=(port, jar, mine, until, times, problems, seed))
        for seed, (jar, mine) in enumerate(zip(cookies, served, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise RuntimeError(problems[0])
    return times


def _work(
    port: int,
    jar: dict[str, str],
    mine: list[int],
    until: float,
    times: dict[str, list[float]],
    problems: list[str],
    seed: int,
) -> None:
    import re
    from urllib.parse import urlencode

    chance = random.Random(seed)
    seen: list[str] = []
    time.sleep(chance.uniform(0, THINKING))
    while time.monotonic() < until and not problems:
        for kind, path, form in _habits(chance, mine, seen):
            body = urlencode(form | {"csrfmiddlewaretoken": "a" * 32}) if form else None
            began = time.perf_counter()
            status, text = _ask(port, jar, path, body)
            times.setdefault(kind, []).append((time.perf_counter() - began) * 1000)
            if status not in (200, 302):
                problems.append(f"{path}: {status}")
                return
            if kind == "list":
                seen[:] = re.findall(r'href="(/complaints/\d+/)"', text)
            time.sleep(chance.uniform(0.5, 1.5) * THINKING)


def _habits(chance: random.Random, mine: list[int], seen: list[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    yield "list", "/complaints/", {}
    if seen:
        yield "one complaint", chance.choice(seen), {}
    yield "search", "/complaints/?q=soc", {}
    yield "a customer", f"/complaints/customers/{chance.choice(mine)}/", {}
    flagged = f"GET /{chance.getrandbits(32):x}?id=1%27%20union%20select%201 HTTP/1.1\nHost: intranet.example"
    yield "filing", "/complaints/new/", {"customer": chance.choice(mine), "flagged": flagged, "contact": "soc"}


def _ask(port: int, jar: dict[str, str], path: str, body: str | None) -> tuple[int, str]:
    import http.client

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
    from benchmarks.__main__ import _prepare_django

    _prepare_django()
    print(json.dumps(measure()))
