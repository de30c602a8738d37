from django.db import migrations, models
from django.db.models.fields.json import KT
from django.db.models.functions import Cast


class Migration(migrations.Migration):
    dependencies = [("labeling", "0029_fill_reference_rows")]

    operations = [
        migrations.AddField(
            model_name="item",
            name="score",
            field=models.GeneratedField(
                db_persist=True,
                expression=Cast(KT("decision__score"), models.FloatField()),
                output_field=models.FloatField(null=True),
            ),
        ),
        migrations.AddField(model_name="item", name="sensor", field=models.CharField(blank=True, max_length=100)),
        migrations.AddField(model_name="item", name="source", field=models.CharField(blank=True, max_length=100)),
        migrations.AddIndex(
            model_name="item",
            index=models.Index(
                condition=models.Q(("state", "open")), fields=["queue", "-sessions", "id"], name="item_open_by_size"
            ),
        ),
    ]
