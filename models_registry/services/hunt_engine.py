"""DuckDB in memory, one per process and kept: what the stored files begin with is read once, not by every question.

Every question gets a cursor of its own, so that threads may ask at the same time; what a cursor knows goes with it.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from detection.filters.looks import offer_looks

THREADS = 2  # shared by all questions of a process: others of this machine want to live too
_SETTINGS: dict[str, str | int] = {
    "threads": THREADS,
    "memory_limit": "2GB",  # more than that is spilled into a temporary folder
    "preserve_insertion_order": "false",  # whoever wants an order says so
    # extensions would be downloaded
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
}
_lock = threading.Lock()
_kept: duckdb.DuckDBPyConnection | None = None


@contextmanager
def cursor() -> Iterator[duckdb.DuckDBPyConnection]:
    """Lend a connection that knows nothing yet; its tables and views end with it."""
    global _kept
    with _lock:
        if _kept is None:
            _kept = _opened()
        lent = _kept.cursor()
    with lent:
        yield lent


def _opened() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config=_SETTINGS)
    connection.execute("LOAD parquet")
    connection.execute("SET GLOBAL parquet_metadata_cache = true")  # stored files never change
    offer_looks(connection)
    return connection


def _forget() -> None:
    """Close what is kept; the next question opens it again. Holds the lock."""
    global _kept
    _lock.acquire()
    if _kept is not None:
        _kept.close()
        _kept = None


atexit.register(_forget)
# its threads would be missing in a child
os.register_at_fork(before=_forget, after_in_parent=_lock.release, after_in_child=_lock.release)
