"""Memory of `ingest`: the most a process held for 100 MB, 500 MB and 2 GB of log, each in a process of its own.

The logs are the shared traffic again and again with fresh flows, days and sources. Sessions are joined window by
window, so the figure grows until three windows are full (300,000 lines, 260 MB of such a log) and not after that. The
ceiling is one for all sizes: the process without a log (160 MB), three windows with what they hold in memory (450 MB),
one row group of either protocol and what writes it (200 MB).
"""

from __future__ import annotations

import io
import sys
import tempfile
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

from benchmarks._house import peak, prepare_django, run_in
from benchmarks.traffic_files import real_lines, repeated

MB = 1_000_000
SIZES = (100, 500, 2_000)  # MB
CEILING = 810  # MB, whatever the size of the log


def rows() -> list[dict[str, Any]]:
    """Return one row per size: megabytes against the ceiling; nothing without the shared traffic."""
    with tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder:
        log, lines = Path(folder) / "eve.json", fresh_lines()
        return [_row(size, peak_of(grown(log, lines, size * MB))) for size in SIZES]


def _row(size: int, most: float) -> dict[str, Any]:
    return {
        "name": f"memory of ingest, {size:,} MB of log, MB",
        "ours": round(most),
        "against": "ceiling for any size, MB",
        "theirs": CEILING,
        "ratio": round(most / CEILING, 2),
        "target": "<= 1",
        "holds": most <= CEILING,
    }


def peak_of(log: Path) -> float:
    """Return the most memory a process held that took in a log, in MB."""
    with tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder:
        return float(run_in(folder, "memory", str(log)))


def fresh_lines() -> Iterator[bytes]:
    """Yield real lines without end, each copy with flows, days and sources of its own."""
    real = real_lines()
    for copy in count():
        yield from (line + b"\n" for line in repeated(real, 1, first=copy))


def grown(log: Path, lines: Iterator[bytes], size: int) -> Path:
    """Let a log grow until it has so many bytes."""
    with log.open("ab") as file:
        while file.tell() < size:
            file.writelines(islice(lines, 10_000))
    return log


if __name__ == "__main__":
    prepare_django()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    call_command("ingest", sys.argv[1], "--json", stdout=io.StringIO())
    print(peak())
