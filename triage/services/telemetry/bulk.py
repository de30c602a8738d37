"""Many rows at once, as fast as a database takes them: what Django prepares for each value costs more than the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from operator import attrgetter
from typing import Any

from django.db import connection
from django.db.models import Model


def insert(rows: Sequence[Model]) -> None:
    """Insert new rows of one model; they are not told their keys. Values are taken as they are."""
    if not rows:
        return
    fields = [field for field in rows[0]._meta.concrete_fields if not field.primary_key]
    values = map(attrgetter(*(field.attname for field in fields)), rows)
    table, columns = rows[0]._meta.db_table, [_quoted(field) for field in fields]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for line in values:
                    copy.write_row(line)
        else:
            cursor.executemany(_insert(table, columns), list(map(_plain, values)))


def upsert(model: type[Model], names: Sequence[str], unique: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """Insert rows, given as the values of `names`, in place of those with the same values of `unique`."""
    column = {name: _quoted(model._meta.get_field(name)) for name in names}
    changes = ", ".join(f"{column[name]} = EXCLUDED.{column[name]}" for name in names if name not in unique)
    told = _insert(model._meta.db_table, list(column.values()))
    sql = f"{told} ON CONFLICT ({', '.join(column[name] for name in unique)}) DO UPDATE SET {changes}"
    some = list(map(_plain, lines))
    with connection.cursor() as cursor:
        if some:
            cursor.executemany(sql, some)


def _insert(table: str, columns: Sequence[str]) -> str:
    values = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608 - names of our own models


def _quoted(field: Any) -> str:
    return str(connection.ops.quote_name(field.column))  # "both" is a word of PostgreSQL


def _plain(line: Sequence[Any]) -> list[Any]:
    """Return values with days as text, which both databases read as days."""
    return [str(value) if isinstance(value, date) else value for value in line]
