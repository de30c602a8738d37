"""Real workers for tests: a broker, `celery worker` processes, and a sender of messages to them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from celery import Celery
from django.conf import settings
from django.db import connection
from kombu import Queue

ROOT = Path(__file__).resolve().parent.parent.parent
QUEUES = ("pipeline", "training", "notices")
LEASE = 2  # seconds; a minute in production
PATIENCE = 120
LATE = """
import time, time_machine
time_machine.travel(time.time() - {}).start()
from celery.__main__ import main
main()
"""


@dataclass
class Broker:
    """Where messages go, as workers read it from their environment."""

    environment: dict[str, str]
    options: dict[str, str]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def send(self, task: str, job: int, queue: str, times: int = 1) -> None:
        """What jobs.services.broker.send does, to this broker."""
        with Celery("tests", broker=self.environment["CELERY_BROKER_URL"], set_as_current=False) as app:
            app.conf.broker_transport_options = self.options
            app.conf.task_queues = [Queue(name, routing_key=name) for name in QUEUES]
            for _ in range(times):
                app.send_task(task, args=[job], queue=queue)

    def tick(self, task: str, queue: str) -> None:
        """Ask for a task as the clock does."""
        with Celery("tests", broker=self.environment["CELERY_BROKER_URL"], set_as_current=False) as app:
            app.conf.broker_transport_options = self.options
            app.conf.task_queues = [Queue(name, routing_key=name) for name in QUEUES]
            app.send_task(task, queue=queue)

    def start_worker(self, log: Path, *, behind: timedelta | None = None) -> subprocess.Popen[bytes]:
        """Start a worker with two processes, in a process group of its own; `behind`: its clock is so much late."""
        words = ["-A", "config", "worker", "-Q", ",".join(QUEUES), "-c", "2", "-l", "warning"]
        command = ["-c", LATE.format(behind.total_seconds()), *words] if behind else ["-m", "celery", *words]
        with log.open("ab") as lines:
            worker = subprocess.Popen(
                [sys.executable, *command, "--without-gossip", "--without-mingle", "--without-heartbeat"],
                cwd=ROOT,
                env=os.environ | database_environment() | self.environment,
                stdout=lines,
                stderr=lines,
                start_new_session=True,
            )
        self.workers.append(worker)
        return worker


def kill(worker: subprocess.Popen[bytes]) -> None:
    """kill -9 the worker and its processes, as a lost machine would."""
    if worker.poll() is None:
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def database_environment() -> dict[str, str]:
    """Return the settings that lead another process to the database and the store of this test."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        login = f"{database['USER']}:{database['PASSWORD']}" if database["PASSWORD"] else database["USER"]
        port = f":{database['PORT']}" if database["PORT"] else ""
        url = f"postgres://{login}@{quote(database['HOST'], safe='')}{port}/{database['NAME']}"
    return {
        "ETALON_DEVELOPMENT": "1",
        "DATABASE_URL": url,
        "ETALON_STORAGE": settings.ETALON_STORAGE,
        "JOB_LEASE_SECONDS": str(LEASE),
        "JOB_RESEND_SECONDS": str(LEASE),
        "JOB_HELPERS": "2",
        "OMP_NUM_THREADS": "1",
    }


@contextmanager
def file_broker(folder: Path) -> Iterator[Broker]:
    (folder / "messages").mkdir(parents=True)
    (folder / "control").mkdir()
    messages = str(folder / "messages")
    options = {"data_folder_in": messages, "data_folder_out": messages, "control_folder": str(folder / "control")}
    yield from _until_the_end(
        Broker({"CELERY_BROKER_URL": "filesystem://", "CELERY_BROKER_FOLDER": str(folder)}, options)
    )


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Run a Redis server of our own on a free loopback port; its address."""
    folder.mkdir()
    port = _free_port()
    where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    server = subprocess.Popen([_redis(), *where, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: _answers(port), "Redis")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def redis_broker(folder: Path) -> Iterator[Broker]:
    """A broker of our own in Redis."""
    with redis_server(folder) as url:
        yield from _until_the_end(Broker({"CELERY_BROKER_URL": url, "REDIS_URL": ""}, {}))


def _until_the_end(broker: Broker) -> Iterator[Broker]:
    try:
        yield broker
    finally:
        for worker in broker.workers:
            kill(worker)


def _redis() -> str:
    if found := shutil.which("redis-server"):
        return found
    pytest.skip("no Redis: install redis-server")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(true: Callable[[], Any], what: str, *, pause: float = 0.02, also: Callable[[], Any] | None = None) -> None:
    """Wait until something is true; call `also` every second meanwhile."""
    deadline = time.monotonic() + PATIENCE
    called = time.monotonic()
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {PATIENCE} s")
        if also is not None and time.monotonic() - called > 1:
            called = time.monotonic()
            also()
        time.sleep(pause)
