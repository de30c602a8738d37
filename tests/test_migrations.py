"""The migrations make the database that the models describe, guards included."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.guards import evidence_tables, guarded_tables

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.django_db
def test_the_test_database_guards_all_evidence() -> None:
    assert guarded_tables(connection) == evidence_tables() != set()


@pytest.mark.slow
@pytest.mark.django_db
def test_migrations_and_models_make_the_same_database(tmp_path: Path) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("the two are compared in SQLite's words")
    file = tmp_path / "migrated.sqlite3"
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{file}"}
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], check=True, cwd=ROOT, env=environment)
    with sqlite3.connect(file) as migrated, connection.cursor() as cursor:
        made = _schema(migrated)
        made.pop(("table", "django_migrations"))  # what was applied
        assert made == _schema(cursor)


def _schema(database: Any) -> dict[tuple[str, str], Any]:
    """Return what a database holds by kind and name; the order of columns is left out."""

    def ask(question: str) -> list[tuple[Any, ...]]:
        return list(database.execute(question).fetchall())

    schema: dict[tuple[str, str], Any] = {}
    for kind, name, written in ask("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"):
        if kind == "table":
            columns = sorted(map(str, (column[1:] for column in ask(f"PRAGMA table_info('{name}')"))))
            keys = sorted(map(str, (key[2:7] for key in ask(f"PRAGMA foreign_key_list('{name}')"))))
            schema[kind, name] = columns, keys, sorted(re.findall(r'CONSTRAINT "([^"]+)"', written))
        else:
            schema[kind, name] = " ".join(written.split())
    return schema
