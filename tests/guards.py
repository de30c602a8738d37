"""The guards of evidence in a test database, which is made from the models."""

from __future__ import annotations

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper

from accounts.evidence import Evidence, guard


def guarded_tables(connection: BaseDatabaseWrapper) -> set[str]:
    """Return the tables that the database itself keeps from being changed."""
    known = {
        "sqlite": "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%\\_guard' ESCAPE '\\'",
        "postgresql": "SELECT event_object_table FROM information_schema.triggers WHERE trigger_name LIKE '%\\_guard'",
    }
    with connection.cursor() as cursor:
        cursor.execute(known[connection.vendor])
        return {table for (table,) in cursor.fetchall()}


def evidence_tables() -> set[str]:
    """Return the tables that have to be kept."""
    return {model._meta.db_table for model in apps.get_models() if issubclass(model, Evidence)}


def guard_all(connection: BaseDatabaseWrapper) -> None:
    """Guard every table of evidence that is not guarded yet."""
    waiting = evidence_tables() - guarded_tables(connection)
    with connection.schema_editor() as editor:
        for table in sorted(waiting):
            guard(table).code(apps, editor)
