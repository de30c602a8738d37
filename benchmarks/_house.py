"""A house of its own for a benchmark: a process with an empty database and an empty store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from typing import Any

from benchmarks.traffic_files import ROOT


def measured_apart(module: str, kept: str = "") -> list[dict[str, Any]]:
    """Run a module of this package as a program; return the rows it prints as JSON.

    Its house is gone afterwards, unless it stands in a folder that is `kept`."""
    with nullcontext(kept) if kept else tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder:
        environment = os.environ | {
            "ETALON_DEVELOPMENT": "1",
            "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3",
            "ETALON_STORAGE": f"file://{folder}/storage",
            "ETALON_BENCH_FOLDER": folder,
        }
        command = [sys.executable, "-m", f"benchmarks.{module}"]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
    measured: list[dict[str, Any]] = json.loads(done.stdout)
    return measured
