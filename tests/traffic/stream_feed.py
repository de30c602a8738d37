"""Feeds for tests of streams: lines whose sessions an independent count knows, and processes that consume them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detection import sessions
from tests.detection import eve
from tests.jobs.workers import wait_for
from tests.traffic.test_ingest import ROOT, child_environment
from traffic.models import Intake, Segment
from traffic.services import segments

WINDOW = "0.6"  # seconds; a minute in production


def lines(events: int, first: int = 0) -> list[bytes]:
    """Return a feed as a sensor would write it: two requests per flow, a hit, a file, the flow's end."""
    made: list[bytes] = []
    number = first
    while len(made) < events:
        second = number * 0.002
        records = [
            eve.http(number, 0, second, http={"hostname": f"h{number % 97}.example", "url": f"/a?n={number}"}),
            eve.alert(number, 0, second, sid=2000 + number % 7),
            eve.http(number, 1, second + 0.001),
            eve.fileinfo(number, 1, second + 0.001),
            eve.flow(number, second + 0.002),
        ]
        made += map(eve.line, records)
        number += 1
    return made[:events]


def expected(feed: Iterable[bytes]) -> dict[str, Any]:
    """Count a feed with the plain JSON parser."""
    told: Counter[str] = Counter()
    keys = set()
    for line in feed:
        record = json.loads(line)
        told[record["event_type"]] += 1
        if record["event_type"] == "http":
            keys.add((record["flow_id"], record["tx_id"], record["timestamp"]))
    return {"lines": sum(told.values()), "http": told["http"], "rule_hits": told["alert"], "keys": len(keys)}


def stored(sensor: str | None = None) -> dict[str, Any]:
    """Count what lies in the store, session by session."""
    of_sensor = {} if sensor is None else {"sensor__name": sensor}
    intakes = list(Intake.objects.filter(**of_sensor))
    keys: Counter[str] = Counter()
    hits = flows = 0
    for segment in Segment.objects.sealed().filter(**of_sensor).select_related("sensor"):
        for row in segments.read_rows(segment, range(segment.rows)):
            keys[sessions.session_key(segment.sensor.name, row)] += 1
            hits += len(row["hits"])
            flows += row["bytes_to_client"] is not None
    assert not [key for key, count in keys.items() if count > 1][:5], "sessions stored twice"
    return {
        "lines": sum(one.lines for one in intakes),
        "http": sum(one.http for one in intakes),
        "rule_hits": sum(one.rule_hits for one in intakes),
        "keys": len(keys),
        "joined": hits,
        "orphans": sum(one.orphan_hits for one in intakes),
        "with_flow": flows,
    }


class Consumers:
    """Processes of `manage.py consume`, as an operator starts them."""

    def __init__(self, folder: Path, arguments: Iterable[str]) -> None:
        self.folder = folder
        self.arguments = ["--window", WINDOW, "--sensor", "s", *arguments]
        self.processes: list[subprocess.Popen[bytes]] = []
        self.logs: dict[int, Path] = {}

    def start(self, name: str = "a", *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", "consume", *self.arguments, "--consumer", name, *more]
        environment = child_environment() | {"ETALON_SPOOL": str(self.folder / "spool"), "OMP_NUM_THREADS": "1"}
        path = self.folder / f"consumer-{name}-{len(self.processes)}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        self.processes.append(process)
        self.logs[process.pid] = path
        return process

    def drain(self, name: str = "a") -> None:
        """Run until nothing waits any more and everything is stored."""
        process = self.start(name, "--once")
        assert process.wait(120) == 0, self.log(process)
        assert "Traceback" not in self.log(process)

    def wait_for_begin(self, process: subprocess.Popen[bytes]) -> None:
        wait_for(lambda: "stream.began" in self.log(process), "its begin")

    def log(self, process: subprocess.Popen[bytes]) -> str:
        return self.logs[process.pid].read_text()


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


@contextmanager
def consumers(folder: Path, *arguments: str) -> Iterator[Consumers]:
    made = Consumers(folder, arguments)
    try:
        yield made
    finally:
        for process in made.processes:
            if process.poll() is None:
                kill(process)


def feed_file(path: Path, feed: list[bytes]) -> None:
    with path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in feed))
        file.flush()
        os.fsync(file.fileno())
