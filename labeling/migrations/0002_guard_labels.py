"""Labels are never edited: the database itself refuses, whoever asks.

On SQLite a later migration that rebuilds labeling_label drops the trigger with the old table and must run these
operations again; tests/labeling/test_labels_are_append_only.py fails until it does.
DELETE is guarded on PostgreSQL only: on SQLite the test suite empties tables by DELETE (there is no TRUNCATE).
"""

from django.db import migrations

SQLITE = """
CREATE TRIGGER labels_are_never_edited BEFORE UPDATE ON labeling_label
BEGIN SELECT RAISE(ABORT, 'labels are never edited: add one that supersedes'); END
"""
POSTGRESQL = """
CREATE FUNCTION refuse_to_change_labels() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'labels are never edited or deleted: add one that supersedes' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER labels_are_never_edited BEFORE UPDATE OR DELETE ON labeling_label
FOR EACH ROW EXECUTE FUNCTION refuse_to_change_labels()
"""
UNDO = {
    "sqlite": ("DROP TRIGGER labels_are_never_edited",),
    "postgresql": (
        "DROP TRIGGER labels_are_never_edited ON labeling_label",
        "DROP FUNCTION refuse_to_change_labels()",
    ),
}


def guard(apps, schema_editor):
    schema_editor.execute({"sqlite": SQLITE, "postgresql": POSTGRESQL}[schema_editor.connection.vendor])


def unguard(apps, schema_editor):
    for statement in UNDO[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("labeling", "0001_initial")]
    operations = [migrations.RunPython(guard, unguard)]
