"""Queries that are written once per process: for the few that every answer of every expert waits for.

Writing the SQL of one wide row with its related rows takes Django six thousand calls, running it a hundred."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model, QuerySet
from django.db.models.query import get_related_populators

Row = TypeVar("Row", bound=Model)
_STAND_IN = 0  # of the primary key, while the SQL is written


@dataclass(frozen=True, slots=True)
class _Written:
    """The SQL of a query, and how its columns become rows."""

    model: type[Model]
    sql: str
    converters: Sequence[tuple[int, tuple[Sequence[Callable[..., Any]], Any]]]
    names: Sequence[str]
    first: int  # the columns of the model itself
    last: int
    related: Sequence[Any]


class ByKey(Generic[Row]):
    """One row of a query by its primary key, with what `select_related` adds."""

    def __init__(self, query: Callable[[], QuerySet[Row]]) -> None:
        self._query = query
        self._written: dict[str, _Written] = {}

    def get(self, pk: int) -> Row:
        """Return the row; raises the model's DoesNotExist. A query that locks is called inside atomic()."""
        written = self._written.get(connection.vendor) or self._write()
        with connection.cursor() as cursor:
            cursor.execute(written.sql, [pk])
            found = cursor.fetchone()
        if found is None:
            raise written.model.DoesNotExist  # type: ignore[attr-defined]  # every model has one
        row = list(found)
        for place, (steps, expression) in written.converters:
            for step in steps:
                row[place] = step(row[place], expression, connection)
        own = row[written.first : written.last]
        instance: Row = written.model.from_db(DEFAULT_DB_ALIAS, written.names, own)  # type: ignore[assignment]
        for populator in written.related:
            populator.populate(row, instance)
        return instance

    def _write(self) -> _Written:
        query = self._query().filter(pk=_STAND_IN).query
        compiler = query.get_compiler(DEFAULT_DB_ALIAS)
        sql, parameters = compiler.as_sql()
        if tuple(parameters) != (_STAND_IN,):
            raise TypeError("A prepared query takes its primary key and nothing else.")
        assert query.model is not None
        fields = compiler.klass_info["select_fields"]
        first, last = fields[0], fields[-1] + 1
        written = _Written(
            model=query.model,
            sql=sql,
            converters=[
                (place, (steps, expression))
                for place, (steps, expression) in compiler.get_converters(
                    [column for column, _sql, _alias in compiler.select]
                ).items()
            ],
            names=[column.target.attname for column, _sql, _alias in compiler.select[first:last]],
            first=first,
            last=last,
            related=get_related_populators(  # type: ignore[call-arg]  # the stubs are of a later Django
                compiler.klass_info, compiler.select, DEFAULT_DB_ALIAS
            ),
        )
        self._written[connection.vendor] = written
        return written
