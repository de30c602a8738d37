"""What SQLite writes ahead comes into its file beside the answers, and its log has an end."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from types import SimpleNamespace

import pytest

from config import checkpoints


@pytest.fixture
def written(tmp_path):
    """A database whose rows all lie ahead: no commit brings them."""
    path = tmp_path / "ahead.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t (x);")
        write(database)
        yield path, database


def write(database, rows=50):
    for number in range(rows):
        database.execute("INSERT INTO t VALUES (?)", [f"{number}" * 2000])


def test_it_is_brought_without_a_commit_of_whoever_writes(written):
    path, _database = written
    before = path.stat().st_size
    with closing(sqlite3.connect(path)) as other:
        checkpoints.bring(other)
    assert path.stat().st_size > before + 100_000


def test_a_log_that_never_comes_to_its_end_is_begun_anew(written, monkeypatch):
    path, database = written
    log = path.with_name(f"{path.name}-wal")
    monkeypatch.setattr(checkpoints, "LONGEST", 10)
    with closing(sqlite3.connect(path)) as other:
        checkpoints.bring(other)
        longest = log.stat().st_size
        for _ in range(3):
            write(database)
            checkpoints.bring(other)
    assert log.stat().st_size <= longest * 1.2
    assert database.execute("SELECT count(*) FROM t").fetchone() == (200,)


def test_a_thread_of_the_web_process_does_it(written, monkeypatch):
    path, _database = written
    before = path.stat().st_size
    of_a_file = SimpleNamespace(vendor="sqlite", settings_dict={"NAME": path})
    monkeypatch.setattr(checkpoints, "connection", of_a_file)
    assert checkpoints.keep_bringing(period=0.01).daemon
    deadline = time.monotonic() + 10
    while path.stat().st_size == before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.stat().st_size > before


@pytest.mark.parametrize(
    ("vendor", "name"),
    [("postgresql", "etalon"), ("sqlite", ":memory:"), ("sqlite", "file:x?mode=memory&cache=shared")],
)
def test_a_database_without_such_a_log_has_none(monkeypatch, vendor, name):
    monkeypatch.setattr(checkpoints, "connection", SimpleNamespace(vendor=vendor, settings_dict={"NAME": name}))
    assert checkpoints.keep_bringing() is None
