"""Counts of appliances over HTTP: SENDERS at once, each with its own key, against servers as in production.

What is measured is from the request to the answer: the signature checked, every count checked, the window kept."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any

from benchmarks import _serving
from benchmarks._house import measured_apart, prepare_django

SENDERS = 8
MESSAGES = int(os.environ.get("ETALON_BENCH_MESSAGES", "300"))  # of each sender, an hour each
MODELS = 10
LIMIT = 0.2  # seconds, p95: no longer than a page may take
PATH = "/api/v1/telemetry/"
Sent = tuple[str, Sequence[bytes]]  # the token, and what is sent with it


def rows() -> list[dict[str, Any]]:
    return measured_apart("telemetry_intake")


def measure() -> list[dict[str, Any]]:
    from django.core.management import call_command
    from django.db import connections

    call_command("migrate", verbosity=0)
    senders = _senders()
    connections.close_all()
    with _serving.serving(1) as server:
        _send(server.port, (senders[0][0], senders[0][1][:1]))  # the first answer also loads what it needs
        before, began = server.cpu(), time.monotonic()
        with ThreadPoolExecutor(SENDERS) as pool:
            times = [one for found in pool.map(lambda sent: _send(server.port, sent), senders) for one in found]
        took, cpu = time.monotonic() - began, server.cpu() - before
    p95 = statistics.quantiles(times, n=20)[-1]
    name = f"telemetry, {SENDERS} senders, {MODELS} models a message"
    none = {"against": "-", "theirs": None, "ratio": None, "target": "", "holds": True}
    return [
        {"name": f"{name}, p95 s", "ours": p95, "against": "limit, s", "theirs": LIMIT, "ratio": LIMIT / p95,
         "target": ">= 1", "holds": p95 <= LIMIT},
        {"name": f"{name}, p50 s", "ours": statistics.median(times), **none},
        {"name": f"{name}, messages/s", "ours": len(times) / took, **none},
        {"name": f"{name}, ms of web CPU a message", "ours": 1000 * cpu / len(times), **none},
    ]  # fmt: skip


def _senders() -> list[Sent]:
    from tests import factories, field

    detectors = [factories.make_version() for _ in range(MODELS)]
    bundle = factories.make_bundle(metadata={"bundle": "b1"})
    for version in detectors:
        bundle.entries.create(version=version, threshold=0.5, is_silent=True)
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=MESSAGES + 1)
    found: list[Sent] = []
    for _ in range(SENDERS):
        voice = field.make_voice()
        hours = [first + timedelta(hours=number) for number in range(MESSAGES)]
        bodies = [
            field.window(*(field.cells(version, 3, 5, 40) for version in detectors), at=f"{hour:%Y-%m-%dT%H}:00Z")
            for hour in hours
        ]
        found.append((voice.secret, [voice.say(body) for body in bodies]))
    return found


def _send(port: int, sent: Sent) -> list[float]:
    """Send one message after the other over one connection; return how long each answer took."""
    secret, messages = sent
    connection, times = HTTPConnection("127.0.0.1", port, timeout=60), []
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    for message in messages:
        began = time.perf_counter()
        connection.request("POST", PATH, message, headers)
        answer = connection.getresponse()
        text = answer.read()
        times.append(time.perf_counter() - began)
        if answer.status not in (200, 201):
            raise RuntimeError(f"{answer.status}: {text[:300]!r}")
    connection.close()
    return times


if __name__ == "__main__":
    prepare_django()
    json.dump(measure(), sys.stdout)
