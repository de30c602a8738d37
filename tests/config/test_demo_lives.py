"""`manage.py demo` as people start it: it answers, mends itself, ends when told, goes on where it was."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
CHILDREN = {
    "worker": "pipeline,notices",
    "training": "-Q training",
    "clock": "config.demo.clock",
    "feed": "config.demo.feed",
}
PATIENCE = 240
HERE = os.environ | {"ETALON_DEVELOPMENT": "1"}

pytestmark = pytest.mark.slow


class Demo(NamedTuple):
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def printed(self) -> str:
        return self.log.read_text()


@contextmanager
def running(folder: Path, log: Path) -> Iterator[Demo]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("wb") as lines:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--port", str(port), "--state", str(folder), "--no-colleagues"],
            cwd=ROOT,
            env=HERE,
            stdout=lines,
            stderr=lines,
        )
    try:
        yield Demo(process, port, log)
    finally:
        process.terminate()
        process.wait(60)


def wait_for(true, demo: Demo):
    deadline = time.monotonic() + PATIENCE
    while not (found := true()):
        assert demo.process.poll() is None, demo.printed
        assert time.monotonic() < deadline, f"{demo.printed}\n{family(demo)}"
        time.sleep(0.2)
    return found


def family(demo: Demo) -> dict[int, str]:
    """Return the demo's processes with their commands."""
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [
        (int(pid), int(parent), args)
        for pid, parent, args in (row.split(None, 2) for row in listed.stdout.splitlines())
    ]
    found = {demo.process.pid: "supervisor"}
    while more := {pid: args for pid, parent, args in rows if parent in found and pid not in found}:
        found |= more
    return found


def child(demo: Demo, name: str) -> int | None:
    return next((pid for pid, args in family(demo).items() if CHILDREN[name] in args), None)


def get(demo: Demo, path: str) -> bytes:
    try:
        return urlopen(f"http://127.0.0.1:{demo.port}{path}", timeout=30).read()
    except (URLError, TimeoutError, ConnectionError):
        return b""


def gone(pids) -> bool:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True)
    alive = {int(pid) for pid, stat in (row.split() for row in listed.stdout.splitlines()) if not stat.startswith("Z")}
    return not alive & set(pids)


def test_a_house_that_lives_mends_itself_and_ends(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "opening.json").write_text("{}")  # what it does is in test_turn.py
    with running(folder, tmp_path / "first.log") as demo:
        wait_for(lambda: "Etalon answers at" in demo.printed, demo)
        passwords = re.findall(r"^  (\w+) +(\S{16})$", demo.printed, re.M)
        assert len(passwords) == 7
        assert b"Sign in" in get(demo, "/accounts/login/")
        assert b'"healthy": true' in get(demo, "/health/")
        assert b"--accent" in get(demo, "/static/etalon/app.css")
        wait_for(lambda: all(child(demo, name) for name in CHILDREN), demo)
        # a second one is refused, and so is forgetting what runs
        for refused in (["--port", "0"], ["--reset"]):
            command = [sys.executable, "manage.py", "demo", *refused, "--state", str(folder)]
            told = subprocess.run(command, cwd=ROOT, env=HERE, capture_output=True, text=True, timeout=PATIENCE)
            assert told.returncode == 1
            assert "A demo runs in" in told.stderr
            assert len(told.stderr.splitlines()) == 1
        # a killed worker comes back
        killed = child(demo, "worker")
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: child(demo, "worker") not in (None, killed), demo)
        assert re.search(r"^worker +ended by SIGKILL after \d+ s, starts again in \d+ s$", demo.printed, re.M)
        # what was half-written to the broker does not stop it
        (folder / "broker" / "messages" / "1_torn.pipeline.msg").write_bytes(b'{"body": "')
        wait_for(lambda: not (folder / "broker" / "messages" / "1_torn.pipeline.msg").exists(), demo)
        # Ctrl-C ends everything
        pids = family(demo)
        began = time.monotonic()
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(60) == 0
        assert time.monotonic() - began < 30
        deadline = time.monotonic() + 10
        while not gone(pids):
            assert time.monotonic() < deadline, pids
            time.sleep(0.2)
        assert "Everything has ended" in demo.printed
    with running(folder, tmp_path / "second.log") as demo:
        wait_for(lambda: "Etalon answers at" in demo.printed, demo)
        assert "first start" in demo.printed
        assert not any(password in demo.printed for _name, password in passwords)
        assert sign_in(demo, *passwords[0])
        # killed itself, it takes its children along
        pids = family(demo)
        demo.process.kill()
        deadline = time.monotonic() + 30
        while not gone(pids):
            assert time.monotonic() < deadline, pids
            time.sleep(0.2)


def sign_in(demo: Demo, name: str, password: str) -> bool:
    from http.cookiejar import CookieJar
    from urllib.parse import urlencode
    from urllib.request import HTTPCookieProcessor, build_opener

    browser = build_opener(HTTPCookieProcessor(CookieJar()))
    address = f"http://127.0.0.1:{demo.port}/accounts/login/"
    page = browser.open(address, timeout=60).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
    fields = {"login": name, "password": password, "csrfmiddlewaretoken": token}
    return browser.open(address, urlencode(fields).encode(), timeout=60).geturl() == f"http://127.0.0.1:{demo.port}/"
