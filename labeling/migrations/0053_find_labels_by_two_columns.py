import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# single columns that other indexes begin with; without statistics (after a bulk import) PostgreSQL would rather walk
# them than the two columns
_NEEDLESS = {
    "labeling_item": {"queue_id": "66563a42", "detector_id": "9cda06c2"},
    "labeling_label": {"item_id": "178dfb64", "expert_id": "318e4a78"},
}


def _drop(table: str) -> migrations.RunSQL:
    """By name: as a change of the field SQLite would write the whole table anew, and lose its guard."""
    names = {column: f"{table}_{column}_{mark}" for column, mark in _NEEDLESS[table].items()}
    return migrations.RunSQL(
        [f"DROP INDEX {name}" for name in names.values()],
        [f"CREATE INDEX {name} ON {table} ({column})" for column, name in names.items()],
        state_operations=[_unindexed(table.removeprefix("labeling_"), column.removesuffix("_id")) for column in names],
    )


def _unindexed(model: str, name: str) -> migrations.AlterField:
    related = {"item": {"queue": "items", "detector": "items"}, "label": {"item": "labels", "expert": "labels"}}
    to = {"expert": settings.AUTH_USER_MODEL, "detector": "models_registry.detector"}.get(name, f"labeling.{name}")
    field = models.ForeignKey(
        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name=related[model][name], to=to
    )
    return migrations.AlterField(model, name, field)


class Migration(migrations.Migration):
    dependencies = [("labeling", "0052_add_hunt_proposals")]
    operations = [
        migrations.AddIndex("label", models.Index(fields=["item", "expert"], name="label_by_item_and_expert")),
        _drop("labeling_item"),
        _drop("labeling_label"),
    ]
