"""`python -m benchmarks [NAME ...] [--json]`: every promise about speed, measured against what it is compared with.

A module of this package is a benchmark when it has `rows()`, which returns dicts with the keys of KEYS. `ratio` is by
the clock on the wall and decides; `cpu`, where it was measured, is the same by processor time, which other work on the
machine disturbs less. Modules say by which variables of the environment larger sizes are asked for.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import pkgutil
import platform
import re
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks._house import prepare_django

KEYS = ("name", "ours", "against", "theirs", "ratio", "cpu", "target", "holds")
OPTIONAL = frozenset({"cpu"})


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure and compare.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="latency, batch, intake, ...; all when none is given")
    parser.add_argument("--json", action="store_true", help="print one list instead of a table")
    options = parser.parse_args(arguments)
    known = names()
    unknown = sorted(set(options.names) - set(known))
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(known)}")
    prepare_django()
    rows: list[dict[str, Any]] = []
    began, before = time.monotonic(), _processor_times()
    for name in options.names or known:
        started = time.monotonic()
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows += _rows(name)
        print(f"{name}: {time.monotonic() - started:,.0f} s", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        took, lost = time.monotonic() - began, stolen(before, _processor_times())
        print(
            f"{table(rows)}\n\n{machine()}; {took:,.0f} s in all, {lost:.0%} of the processors went to other machines"
        )
    return 0 if all(row["holds"] for row in rows) else 1


def names() -> list[str]:
    """Return the modules that measure something: their text has a `rows` function."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if not module.name.startswith("_") and _has_rows(module.name)
    )


def machine() -> str:
    """Return what was measured on: name, processor, cores, Python."""
    models = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    told = (
        platform.node(),
        *models[:1],
        f"{len(os.sched_getaffinity(0))} cores",
        f"Python {platform.python_version()}",
    )
    return ", ".join(told)


def stolen(before: Sequence[int], after: Sequence[int]) -> float:
    """Return what share of the time that processors were wanted the host gave to other guests.

    A window with more than a few percent says little about absolute times (proc(5), the columns of /proc/stat)."""
    spent = [later - earlier for earlier, later in zip(before, after, strict=True)]
    idle, steal = sum(spent[3:5]), spent[7]
    return steal / max(sum(spent[:8]) - idle, 1)


def _processor_times() -> list[int]:
    """Return user, nice, system, idle, iowait, irq, softirq, steal, ... of all processors, in ticks."""
    return [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]


def _has_rows(name: str) -> bool:
    spec = importlib.util.find_spec(f"benchmarks.{name}")
    if spec is None or spec.origin is None:
        return False
    with open(spec.origin, encoding="utf-8") as source:
        return any(line.startswith("def rows(") for line in source)


def _rows(name: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a benchmark. One that fails is a row that does not hold: the others go on."""
    try:
        rows = importlib.import_module(f"benchmarks.{name}").rows()
    except Exception:
        traceback.print_exc()
        rows = [dict.fromkeys(KEYS) | {"name": f"{name}: failed, see above", "holds": False}]
    for row in rows:
        if set(row) | OPTIONAL != set(KEYS):
            raise TypeError(f"benchmarks.{name}: a row has the keys {sorted(row)}, expected {sorted(KEYS)}")
        yield {key: row.get(key) for key in KEYS}


def table(rows: Sequence[dict[str, Any]]) -> str:
    cells = [list(KEYS), *([_cell(row[key]) for key in KEYS] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(KEYS))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if value is None:
        return "-"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
