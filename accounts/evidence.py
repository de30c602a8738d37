"""Rows that are evidence: added, never edited nor deleted. The models refuse, and so does the database itself."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar, cast

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

Row = TypeVar("Row", bound=models.Model, covariant=True)
REFUSAL = "is evidence: rows are added, never edited nor deleted"


class EvidenceQuerySet(models.QuerySet[Row]):
    """Questions only."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{self.model.__name__} {REFUSAL}.")

    def delete(self) -> NoReturn:
        raise TypeError(f"{self.model.__name__} {REFUSAL}.")


class Evidence(models.Model):
    """A row of history. Its table needs `guard()` in a migration; tests/test_evidence.py sees to it."""

    objects = EvidenceQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(f"{type(self).__name__} {REFUSAL}.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{type(self).__name__} {REFUSAL}.")


class Guard(migrations.RunPython):
    """A step that reads no models: they need not be drawn up for it, which takes a quarter of a second each time."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self.code(cast(Any, None), schema_editor)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if self.reverse_code is None:
            raise NotImplementedError("This guard stays.")
        self.reverse_code(cast(Any, None), schema_editor)


def guard(table: str) -> Guard:
    """Return the migration step after which the database refuses to change a table.

    SQLite keeps DELETE, because test runs empty tables with it (PostgreSQL has TRUNCATE). A later migration that
    rebuilds the table on SQLite would drop the trigger with the old table: it stands between `unguard` and `guard`."""

    def add(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
        if editor.connection.vendor == "postgresql":
            editor.execute(
                f"CREATE FUNCTION {table}_is_evidence() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                f"RAISE EXCEPTION '{table} {REFUSAL}' USING ERRCODE = 'check_violation'; END $$"
            )
            editor.execute(
                f"CREATE TRIGGER {table}_guard BEFORE UPDATE OR DELETE ON {table} "
                f"FOR EACH ROW EXECUTE FUNCTION {table}_is_evidence()"
            )
        else:
            editor.execute(
                f"CREATE TRIGGER {table}_guard BEFORE UPDATE ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} {REFUSAL}'); END"
            )

    def take_away(apps: Any, editor: BaseDatabaseSchemaEditor) -> None:
        if editor.connection.vendor == "postgresql":
            editor.execute(f"DROP TRIGGER {table}_guard ON {table}")
            editor.execute(f"DROP FUNCTION {table}_is_evidence()")
        else:
            editor.execute(f"DROP TRIGGER {table}_guard")

    return Guard(add, take_away)


def unguard(table: str) -> Guard:
    """Return the migration step before one that changes the table itself; `guard` follows it."""
    there = guard(table)
    assert there.reverse_code is not None
    return Guard(there.reverse_code, there.code)
