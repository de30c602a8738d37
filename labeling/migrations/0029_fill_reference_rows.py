"""Rows that were there know their title, sensor, protocol, family and digest too."""

from collections import Counter

from django.db import migrations

from detection.reference import row_digest
from labeling.services.records import from_json


def fill(apps, schema_editor):
    rows = apps.get_model("labeling", "ReferenceRow").objects.select_related("item__record").prefetch_related("labels")
    for row in rows.iterator(chunk_size=500):
        values = from_json(row.row)
        families = Counter(label.family for label in row.labels.all() if label.family)
        row.title = row.item.title
        row.sensor = row.item.record.sensor
        row.protocol = values.get("protocol") or ""
        row.family = families.most_common(1)[0][0] if families else ""
        row.digest = row_digest(row.subject_key, row.answer, values)
        row.save(update_fields=["title", "sensor", "protocol", "family", "digest"])


class Migration(migrations.Migration):
    dependencies = [("labeling", "0028_guard_reference_changes")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
