"""The web server as production runs it, on a free port of this machine, and what it takes of the machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.traffic_files import ROOT

PATIENCE = 60  # seconds until the server answers
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int

    def cpu(self) -> float:
        """Return the seconds of CPU that all its processes have taken."""
        return sum(seconds(pid) for pid in family(self.pid))

    def memory(self) -> float:
        """Return the resident MB of its largest process."""
        return max(resident(pid) for pid in family(self.pid))


@contextmanager
def serving(threads: int) -> Iterator[Server]:
    """Serve this environment's database with two workers of so many threads."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws", "--log-level", "warning"]
    size = ["--workers", "2", "--blocking-threads", str(threads)]
    server = subprocess.Popen([sys.executable, "-m", "granian", *where, *size, "config.wsgi:application"], cwd=ROOT)
    try:
        _wait(port, server)
        yield Server(port, server.pid)
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until it answers: it takes connections long before its workers have loaded what they serve."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        probe = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            probe.request("GET", "/health/")
            if probe.getresponse().status in (200, 503):  # well or not: it serves
                return
        except OSError:
            time.sleep(0.1)
        finally:
            probe.close()
    raise RuntimeError("the web server did not start")


def family(pid: int) -> list[int]:
    """Return a process and all that it started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def seconds(pid: int) -> float:
    """Return the CPU of one process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
