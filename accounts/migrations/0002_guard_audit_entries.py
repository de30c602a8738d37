"""Audit entries are evidence: the database itself refuses to change them.

SQLite keeps DELETE, because test runs empty tables with it; PostgreSQL empties them with TRUNCATE.
"""

from django.db import migrations

TABLE = "accounts_auditentry"
POSTGRESQL = f"""
CREATE FUNCTION {TABLE}_is_evidence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'audit entries are never changed' USING ERRCODE = 'integrity_constraint_violation'; END $$;
CREATE TRIGGER {TABLE}_guard BEFORE UPDATE OR DELETE ON {TABLE}
FOR EACH ROW EXECUTE FUNCTION {TABLE}_is_evidence();
"""
POSTGRESQL_UNDO = f"DROP TRIGGER {TABLE}_guard ON {TABLE}; DROP FUNCTION {TABLE}_is_evidence();"
SQLITE = f"""
CREATE TRIGGER {TABLE}_guard BEFORE UPDATE ON {TABLE}
BEGIN SELECT RAISE(ABORT, 'audit entries are never changed'); END
"""
SQLITE_UNDO = f"DROP TRIGGER {TABLE}_guard"


def guard(apps, schema_editor):
    _run(schema_editor, POSTGRESQL, SQLITE)


def unguard(apps, schema_editor):
    _run(schema_editor, POSTGRESQL_UNDO, SQLITE_UNDO)


def _run(schema_editor, postgresql, sqlite):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(postgresql if schema_editor.connection.vendor == "postgresql" else sqlite)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [migrations.RunPython(guard, unguard)]
