"""What conn, x509 and files of a set tell about its sessions: kept in a temporary database, in bounded memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from detection.sources.zeek import CERTIFICATE_TOLD, FLOW_TOLD

_CACHE_KIB = 64 << 10  # what exceeds it lies in a nameless file of the system's temporary folder
_BATCH = 10_000
_NO_FLOW = (None,) * len(FLOW_TOLD)
_NO_CERTIFICATE = (None,) * (len(CERTIFICATE_TOLD) + 1)


class Companions:
    """Connections by their key, certificates and their SHA-1 by fingerprint or file number; the last one told stays."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, cached_statements=32)
        self._database.executescript(
            f"PRAGMA cache_size=-{_CACHE_KIB}; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA temp_store=FILE;"
            f"CREATE TABLE connection (key INTEGER, {', '.join(FLOW_TOLD)});"
            f"CREATE TABLE certificate (key TEXT, {', '.join(CERTIFICATE_TOLD)});"
            "CREATE TABLE sha1 (key TEXT, sha1);"
            "CREATE TEMP TABLE wanted (row INTEGER, key, other TEXT);"
        )
        self._waiting: dict[str, list[tuple[Any, ...]]] = {"connection": [], "certificate": [], "sha1": []}
        self._is_sorted = False
        self.connections = 0

    def add_connection(self, key: int, told: tuple[Any, ...]) -> None:
        self.connections += 1
        self._add("connection", (key, *told))

    def add_certificate(self, keys: Iterable[str], told: tuple[Any, ...]) -> None:
        for key in keys:
            self._add("certificate", (key, *told))

    def add_sha1(self, key: str, sha1: str) -> None:
        self._add("sha1", (key, sha1))

    def flows(self, keys: Sequence[int]) -> list[tuple[Any, ...]]:
        """Return `FLOW_TOLD` for every key, empty ones for connections nobody told of."""
        self._want((row, key, None) for row, key in enumerate(keys))
        found = [_NO_FLOW] * len(keys)
        query = (
            f"SELECT row, {', '.join(FLOW_TOLD)} FROM wanted CROSS JOIN connection "  # noqa: S608 - our own names
            "ON connection.key = wanted.key ORDER BY connection.rowid"
        )
        for row, *told in self._database.execute(query):
            found[row] = tuple(told)
        return found

    def certificates(self, keys: Sequence[tuple[str | None, str | None]]) -> list[tuple[Any, ...]]:
        """Return `CERTIFICATE_TOLD` and SHA-1 for the certificate of every session, by fingerprint or file number."""
        self._want((row, *pair) for row, pair in enumerate(keys) if pair[0] or pair[1])
        found = [_NO_CERTIFICATE] * len(keys)
        columns = ", ".join(CERTIFICATE_TOLD)
        query = (
            f"SELECT row, {columns} FROM wanted CROSS JOIN certificate "  # noqa: S608
            "ON certificate.key IN (wanted.key, wanted.other) ORDER BY certificate.rowid"
        )
        for row, *told in self._database.execute(query):
            found[row] = (*told, None)
        query = "SELECT row, sha1 FROM wanted CROSS JOIN sha1 ON sha1.key IN (wanted.key, wanted.other)"
        for row, sha1 in self._database.execute(query):
            found[row] = (*found[row][:-1], sha1)
        return found

    def close(self) -> None:
        self._database.close()

    def _add(self, table: str, values: tuple[Any, ...]) -> None:
        waiting = self._waiting[table]
        waiting.append(values)
        if len(waiting) >= _BATCH:
            self._write(table)

    def _write(self, table: str) -> None:
        waiting = self._waiting[table]
        if waiting:
            marks = ", ".join("?" * len(waiting[0]))
            self._database.execute("BEGIN")
            self._database.executemany(f"INSERT INTO {table} VALUES ({marks})", waiting)  # noqa: S608
            self._database.execute("COMMIT")
            waiting.clear()

    def _want(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for table in self._waiting:
            self._write(table)
        if not self._is_sorted:  # once all is there: an index grows slowly, row by row
            for table in self._waiting:
                self._database.execute(f"CREATE INDEX {table}_key ON {table} (key)")
            self._is_sorted = True
        self._database.execute("DELETE FROM wanted")
        self._database.execute("BEGIN")
        self._database.executemany("INSERT INTO wanted VALUES (?, ?, ?)", rows)
        self._database.execute("COMMIT")
