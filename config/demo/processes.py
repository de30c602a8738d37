"""The demo's children: started, watched, started again, ended. `python -m config.demo.processes` is their supervisor.

It needs neither Django nor a database, so that it stays small and outlives what breaks them."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType

from config.celery import NOTICES, PIPELINE, TRAINING
from config.demo import state

LOOPBACK = "127.0.0.1"
GRACE = 5.0  # seconds that a child has to end by itself
STEADY = 60.0  # a child that lived so long had started well
LONGEST_PAUSE = 30.0  # seconds before a child that keeps dying is tried again
LOOK = 0.2  # seconds between two looks at the children
LOG_BYTES = 2_000_000  # of each of two log files

log = logging.getLogger("etalon.demo")
on_terminal = logging.getLogger("etalon.demo.terminal")


class PortTaken(Exception):  # noqa: N818 (says what is true)
    """Somebody else listens there."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process of the demo, as it is started."""

    name: str
    command: tuple[str, ...]
    is_patient: bool = False  # leaves the processor to those that people wait for


def children(port: int, *, colleagues: bool = True) -> list[Child]:
    """Return the demo's processes; the first is the one people wait for.

    One process each but for the pages: nothing else is busy enough, and every Python with the science in it takes
    memory."""
    return [
        Child("web", _web(port)),
        Child("worker", _worker(PIPELINE, NOTICES), is_patient=True),
        Child("clock", _module("config.demo.clock")),
        Child("training", _worker(TRAINING), is_patient=True),
        Child("feed", _module("config.demo.feed", *([] if colleagues else ["--no-colleagues"])), is_patient=True),
    ]


def _module(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def _web(port: int) -> tuple[str, ...]:
    serve = ("--interface", "wsgi", "--host", LOOPBACK, "--port", str(port), "--no-ws", "--log-level", "warning")
    # one thread each: writers that wait inside SQLite are served unfairly
    return _module("granian", *serve, "--workers", "2", "--blocking-threads", "1", "config.wsgi:application")


def _worker(*queues: str) -> tuple[str, ...]:
    alone = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    work = ("worker", "-Q", ",".join(queues), "--pool", "solo", "-l", "warning")
    return _module("celery", "--quiet", "-A", "config", *work, *alone)


def refuse_taken(port: int) -> None:
    """Raise PortTaken: the server would say it in a hundred lines."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise PortTaken(f"Port {port} is taken: try `make demo PORT={port + 1}`.") from None


def pause_after(early_ends: int) -> float:
    """Return the seconds to wait before a child is started again that ended early so many times in a row."""
    return min(LONGEST_PAUSE, 2.0**early_ends)


def how(code: int) -> str:
    """Return in words how a process ended."""
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def readable(line: bytes) -> str:
    """Return a line of a log as a terminal may show it: part of it may have been written by attackers."""
    text = line.decode("utf-8", "replace").rstrip()
    return "".join(character if character.isprintable() or character == "\t" else "\ufffd" for character in text)


class Supervised:
    """One child and the processes it started: a session of their own, out of reach of the terminal's Ctrl-C."""

    def __init__(self, child: Child, watcher: Watcher) -> None:
        self.child = child
        self.early_ends = 0
        self.due = time.monotonic()
        self._watcher = watcher
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    def start(self, environment: Mapping[str, str], tell: Callable[[str, str], None]) -> None:
        nice = shutil.which("nice") if self.child.is_patient else None
        command = (nice, "-n", "5", *self.child.command) if nice else self.child.command
        self._process = process = subprocess.Popen(  # noqa: S603 - our own commands
            command,
            cwd=state.ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._began = time.monotonic()
        self._watcher.add(process.pid)
        threading.Thread(target=_pump, args=(process, self.child.name, tell), daemon=True).start()

    def ended(self) -> str | None:
        """Say how the child ended, once, and when it is due again; None while it lives or waits."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._forget()
        lived = time.monotonic() - self._began
        self.early_ends = self.early_ends + 1 if lived < STEADY else 0
        pause = pause_after(self.early_ends)
        self.due = time.monotonic() + pause
        return f"ended {how(code)} after {lived:.0f} s, starts again in {pause:.0f} s"

    @property
    def is_due(self) -> bool:
        return self._process is None and time.monotonic() >= self.due

    def ask_to_end(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def is_gone(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def end(self) -> None:
        """End the child at once, with all it started."""
        if self._process is not None:
            self._forget()

    def _forget(self) -> None:
        assert self._process is not None
        send(self._process.pid, signal.SIGKILL)  # what it started holds the port, for one
        self._process.wait()
        self._watcher.remove(self._process.pid)
        self._process = None


def _pump(process: subprocess.Popen[bytes], name: str, tell: Callable[[str, str], None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            if text := readable(line):
                tell(name, text)


def send(group: int, number: int) -> bool:
    """Send a signal to a process group; False when it is gone."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of zombies
        return False
    return True


class Watcher:
    """A process that outlives this one by a moment: when we are killed, it ends the groups that we had started."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(writer)
            _watch(reader)
        os.close(reader)
        self._writer = writer

    def add(self, group: int) -> None:
        self._say(b"+%d\n" % group)

    def remove(self, group: int) -> None:
        self._say(b"-%d\n" % group)

    def _say(self, line: bytes) -> None:
        with suppress(BrokenPipeError):  # it was killed: we end our children all the same
            os.write(self._writer, line)


def _watch(reader: int) -> None:
    """Wait until nobody can write any more, and end what is left. Never returns."""
    os.setsid()
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it ends when we do
        with open(reader, "rb") as lines:
            end_groups(groups_left(lines))
    finally:
        os._exit(0)


def groups_left(lines: Iterable[bytes]) -> set[int]:
    """Return the groups that were added and not removed."""
    groups: set[int] = set()
    for line in lines:
        (groups.add if line.startswith(b"+") else groups.discard)(int(line[1:]))
    return groups


def end_groups(groups: set[int]) -> None:
    left = {group for group in groups if send(group, signal.SIGTERM)}
    deadline = time.monotonic() + GRACE
    while left and time.monotonic() < deadline:
        time.sleep(LOOK)
        left = {group for group in left if send(group, 0)}
    for group in left:
        send(group, signal.SIGKILL)


class Supervisor:
    """Runs the children until somebody asks for the end."""

    def __init__(self, folder: Path, port: int, *, colleagues: bool) -> None:
        self.watcher = Watcher()  # before any thread: it is a fork
        self.environment = state.environment(folder)
        self.port = port
        self.supervised = [Supervised(child, self.watcher) for child in children(port, colleagues=colleagues)]
        self.began = time.monotonic()
        self.asked_to_end = 0  # times

    def run(self) -> int:
        """Prepare, serve, watch; return the exit code."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_end)
        try:
            if not self._open():
                return 0 if self.asked_to_end else 1
            while not self.asked_to_end:
                self._tend(self.supervised)
                time.sleep(LOOK)
        finally:
            self._stop()
        return 0

    def _ask_to_end(self, number: int, frame: FrameType | None) -> None:
        self.asked_to_end += 1

    def _open(self) -> bool:
        """Have the page answer before anything else asks for the processor; False when it never will."""
        on_terminal.info("Etalon prepares its database ...")
        web = self.supervised[:1]
        self._tend(web)  # it loads while the database is prepared
        if not self._prepare():
            return False
        address = f"http://{LOOPBACK}:{self.port}/"
        while not self.asked_to_end and not answers(f"{address}accounts/login/"):
            self._tend(web)
            time.sleep(LOOK / 4)
        took = time.monotonic() - self.began
        on_terminal.info("\nEtalon answers at %s after %.1f s. Ctrl-C ends it.\n", address, took)
        return not self.asked_to_end

    def _prepare(self) -> bool:
        """Bring database and accounts up to date: before anybody looks at them."""
        preparing = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--prepare-only"],
            cwd=state.ROOT,
            env=self.environment,
            start_new_session=True,
        )
        self.watcher.add(preparing.pid)
        while preparing.poll() is None and not self.asked_to_end:
            time.sleep(LOOK / 4)
        send(preparing.pid, signal.SIGKILL)
        self.watcher.remove(preparing.pid)
        return preparing.wait() == 0

    def _tend(self, supervised: Iterable[Supervised]) -> None:
        for one in supervised:
            if told := one.ended():
                self._tell(one.child.name, told)
            if one.is_due:
                one.start(self.environment, self._tell)

    def _tell(self, name: str, text: str) -> None:
        line = f"{name:<9} {text}"
        log.info(line)
        if not self.asked_to_end:  # what children say of their end is for the file
            on_terminal.info(line)

    def _stop(self) -> None:
        """End all children: told first, and after a while, or when asked twice, at once."""
        on_terminal.info("\nEtalon ends ...")
        asked = self.asked_to_end
        for one in self.supervised:
            one.ask_to_end()
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and self.asked_to_end == asked:
            if all(one.is_gone() for one in self.supervised):
                break
            time.sleep(LOOK / 4)
        for one in self.supervised:
            one.end()
        on_terminal.info("Everything has ended. `make demo` goes on from here, `make demo-reset` forgets it.")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def log_to(folder: Path) -> None:
    """Send lines to the terminal as they are, and to a file with their time."""
    logging.raiseExceptions = False  # a terminal that was closed is no reason to stop
    (folder / state.LOGS).mkdir(parents=True, exist_ok=True)
    file = RotatingFileHandler(folder / state.LOGS / "demo.log", maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    for logger, handler in ((log, file), (on_terminal, logging.StreamHandler(sys.stdout))):
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.addHandler(handler)


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--no-colleagues", action="store_true")
    given = parser.parse_args()
    try:
        refuse_taken(given.port)
        supervisor = Supervisor(given.state, given.port, colleagues=not given.no_colleagues)
        with state.held(given.state):
            log_to(given.state)
            return supervisor.run()
    except (PortTaken, state.InUse) as refusal:
        print(refusal, file=sys.stderr)  # noqa: T201 - a command's own words
        return 1


if __name__ == "__main__":
    sys.exit(main())
