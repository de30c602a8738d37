from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("labeling", "0015_guard_labels_again"),
        ("models_registry", "0011_guard_indicators"),
    ]

    operations = [
        migrations.AddField(
            model_name='item',
            name='contested_after',
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='item',
            name='recheck_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name='item',
            name='not_admitted',
            field=models.CharField(blank=True, choices=[('undecided', 'nobody could tell'), ('one-expert', 'fewer than two experts agree'), ('pair-is-in', 'a row of this look and host is in the set already'), ('day-is-full', 'three rows of this look and day are in the set already'), ('check-waits', 'a look-alike drawn as a check is not answered yet')], max_length=24),
        ),
        migrations.AddIndex(
            model_name='item',
            index=models.Index(condition=models.Q(('state', 'open')), fields=['detector', 'shape'], name='item_open_by_shape'),
        ),
    ]
