"""Logs for benchmarks: the shared real traffic again and again, with fresh flows, days, sources and paths."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FLOW = re.compile(rb'("flow_id": ?)(\d+)')
_DAY = re.compile(rb'("(?:timestamp|start|end)": ?")(\d{4}-\d{2}-\d{2})')
_SOURCE = re.compile(rb'("src_ip": ?"10\.)(\d{1,3})')
_PATH = re.compile(rb'("url": ?"/)')
_SESSION = {name: re.compile(rb'"event_type": ?"%s"' % name.encode()) for name in ("http", "tls")}


def shared_data() -> Path:
    """Return the folder of real traffic; FileNotFoundError when there is none."""
    named = os.environ.get("ETALON_SHARED_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (folder / "eve").is_dir():
        raise FileNotFoundError(f"no real traffic at {folder}: set ETALON_SHARED_DATA")
    return folder


def real_lines() -> list[bytes]:
    """Return the lines of all shared EVE logs, in file order."""
    files = sorted((shared_data() / "eve").glob("*.eve.json.gz"))
    return [line for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


def is_session(line: bytes, protocol: str = "http") -> bool:
    return _SESSION[protocol].search(line, 0, 600) is not None


def repeated(lines: list[bytes], copies: int, first: int = 0) -> Iterator[bytes]:
    """Yield the lines several times, each time with flows, days, sources and paths that did not occur before.

    What is alike in one copy stays alike, as it is in real traffic; nothing is alike in two of them."""
    for copy in range(first, first + copies):
        for line in lines:
            yield _refreshed(line, copy)


def _refreshed(line: bytes, copy: int) -> bytes:
    line = _FLOW.sub(lambda found: b"%s%d" % (found[1], int(found[2]) + copy * 7_919), line, count=1)
    line = _DAY.sub(lambda found: found[1] + _later(found[2], copy), line)
    line = _PATH.sub(rb"\g<1>%d/" % copy, line, count=1)
    return _SOURCE.sub(lambda found: b"%s%d" % (found[1], (int(found[2]) + copy) % 256), line, count=1)


@lru_cache(maxsize=100_000)
def _later(day: bytes, days: int) -> bytes:
    return (date.fromisoformat(day.decode()) + timedelta(days=days)).isoformat().encode()
