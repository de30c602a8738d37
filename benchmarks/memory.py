"""Memory of `ingest`: the most a process held for 2 GB of log against 100 MB, each in a process of its own.

The logs are the shared traffic again and again with fresh flows, days and sources; their sessions are joined, stored
and thrown away window by window, so the longer log must not need more than a full set of windows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.traffic_files import ROOT, real_lines, repeated

MB = 1_000_000
SHORT, LONG = 100 * MB, 2_000 * MB
MOST = 3  # times: windows are joined with the one before and after, and the short log is no more than one
MEASURED = """
import os, resource, sys
import django
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("ingest", sys.argv[1], "--json", stdout=open(os.devnull, "w"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def rows() -> list[dict[str, Any]]:
    """Return one row: megabytes of both; nothing without the shared traffic."""
    short, long = peak(SHORT), peak(LONG)
    ratio = long / short
    return [
        {
            "name": "memory of ingest, 2 GB of log, MB",
            "ours": round(long),
            "against": "100 MB of log",
            "theirs": round(short),
            "ratio": round(ratio, 2),
            "target": f"<= {MOST}x",
            "holds": ratio <= MOST,
        }
    ]


def peak(size: int) -> float:
    """Return the most memory a process held that took in a log of so many bytes, in MB."""
    with tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder:
        log = Path(folder) / "eve.json"
        write(log, size)
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "ETALON_DEVELOPMENT": "1",
            "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3",
            "ETALON_STORAGE": f"file://{folder}/storage",
        }
        command = [sys.executable, "-c", MEASURED, str(log)]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
    return int(done.stdout.split()[-1]) * 1024 / MB


def write(log: Path, size: int) -> None:
    """Write real lines with fresh flows, days and sources until the log has so many bytes."""
    real = real_lines()
    with log.open("wb") as file:
        for copy in count():
            file.writelines(line + b"\n" for line in repeated(real, 1, first=copy))
            if file.tell() >= size:
                return
