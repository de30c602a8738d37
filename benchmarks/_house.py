"""A house of its own for a benchmark: a process with an empty database and an empty store, and what it measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.traffic_files import ROOT


def prepare_django() -> None:
    """Make this process one of the house, in development unless the environment says otherwise."""
    os.environ.setdefault("ETALON_DEVELOPMENT", "1")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()


def measured_apart(module: str, kept: str = "") -> list[dict[str, Any]]:
    """Run a module of this package as a program in a house of its own; return the rows it prints as JSON.

    The house is gone afterwards, unless it stands in a folder that is `kept`."""
    with nullcontext(kept) if kept else tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder:
        measured: list[dict[str, Any]] = json.loads(run_in(folder, module))
    return measured


def run_in(folder: str, module: str, *words: str, database: str = "") -> str:
    """Run a module of this package as a program with a folder and a database of its own; return its last line."""
    environment = os.environ | {
        "ETALON_DEVELOPMENT": "1",
        "DATABASE_URL": database or f"sqlite:///{folder}/bench.sqlite3",
        "ETALON_STORAGE": f"file://{folder}/storage",
        "ETALON_VAR": folder,
    }
    command = [sys.executable, "-m", f"benchmarks.{module}", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return (done.stdout.splitlines() or [""])[-1]


def databases(settings: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield a folder and the URL of an empty database in it, or beside it: SQLite's, then PostgreSQL's.

    The server is our own, with settings of its own, and keeps what it says it keeps. Both are gone afterwards."""
    from tests.with_postgres import temporary_server

    with tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder:
        yield folder, f"sqlite:///{folder}/bench.sqlite3"
    server = temporary_server(durable=True, settings=settings)
    with tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder, server as url:
        yield folder, url


def called_apart(module: str, function: str) -> dict[str, float]:
    """Call a function of a module of this package in a process of its own; return what it prints as JSON."""
    command = [sys.executable, "-c", f"from benchmarks import {module}; {module}.{function}()"]
    told = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    answer: dict[str, float] = json.loads(told.splitlines()[-1])
    return answer


def peak() -> float:
    """Return the most memory that this process has held, MB of 1,000,000 bytes.

    What rusage tells counts its parent's too, from before the exec (getrusage(2))."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1_000_000


def less_is_better(name: str, ours: float, against: str, theirs: float) -> dict[str, Any]:
    """Return a row that holds where ours is no more than theirs."""
    ratio = theirs / ours
    return {
        "name": name, "ours": ours, "against": against, "theirs": theirs, "ratio": ratio, "target": ">= 1",
        "holds": ratio >= 1,
    }  # fmt: skip
