"""Statements that are written once per process and planned once per connection: for the few that every answer of every
expert waits for.

Writing the SQL of one wide row with its related rows takes Django six thousand calls, running it a hundred. PostgreSQL
plans most of them for longer than it runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.backends.utils import CursorWrapper
from django.db.models import Field, Model, QuerySet
from django.db.models.query import get_related_populators

Row = TypeVar("Row", bound=Model)
_STAND_IN = 0  # of the primary key, while the SQL is written


def cursor() -> CursorWrapper:
    """Return a cursor for statements that are few and run often: PostgreSQL keeps their plans with the connection.

    Django writes values into the text of a statement, which makes each one a new statement that is planned anew. A
    pooler that hands out another connection per transaction loses plans; who has one sets DISABLE_SERVER_SIDE_CURSORS,
    as Django asks for."""
    if connection.vendor != "postgresql" or connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
        return connection.cursor()
    from accounts.planned import LoggedCursor, PlannedCursor

    connection.ensure_connection()
    kind, wrap = (
        (LoggedCursor, connection.make_debug_cursor)
        if connection.queries_logged
        else (PlannedCursor, connection.make_cursor)
    )
    made: Any = kind(connection.connection)  # the stubs know no other wrapper than Django's
    return wrap(made)


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
        with cursor() as at:
            at.execute(written.sql, [pk])
            found = at.fetchone()
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


class Insert(Generic[Row]):
    """A new row of a model, whose number the database gives. Nothing hears of it: this house has no signals."""

    def __init__(self, model: type[Row]) -> None:
        self._model = model
        self._written: dict[str, str] = {}

    def __call__(self, **values: Any) -> Row:
        """Write a row and return it."""
        row = self._model(**values)
        said = [field.get_db_prep_save(field.pre_save(row, True), connection) for field in self._fields()]
        with cursor() as at:
            at.execute(self._written.get(connection.vendor) or self._write(), said)
            (row.pk,) = at.fetchone()
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS
        return row

    def _fields(self) -> Sequence[Field[Any, Any]]:
        return [field for field in self._model._meta.concrete_fields if not (field.primary_key or field.generated)]

    def _write(self) -> str:
        name = connection.ops.quote_name
        columns = ", ".join(name(str(field.column)) for field in self._fields())
        marks = ", ".join(["%s"] * len(self._fields()))
        into, key = name(self._model._meta.db_table), name(str(self._model._meta.pk.column))
        sql = f"INSERT INTO {into} ({columns}) VALUES ({marks}) RETURNING {key}"  # noqa: S608 - names of ours
        self._written[connection.vendor] = sql
        return sql
