"""The web server as production runs it, on a free port of this machine, who is signed in, and what it takes."""

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
    with process("granian", *where, *size, "config.wsgi:application") as server:
        _wait(port, server)
        yield Server(port, server.pid)


@contextmanager
def process(module: str, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module as a process of this house until the block ends."""
    command = [sys.executable, "-m", module, *words]
    started = subprocess.Popen(command, cwd=ROOT, stdout=sys.stderr)  # standard output belongs to the rows
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


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


def signed_in(pk: int) -> dict[str, str]:
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
