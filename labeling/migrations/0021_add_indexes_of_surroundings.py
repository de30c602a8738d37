from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('labeling', '0020_add_spread'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='item',
            index=models.Index(fields=['detector', 'shape', '-id'], name='item_by_shape'),
        ),
        migrations.AddIndex(
            model_name='itemhost',
            index=models.Index(fields=['host', '-item'], name='item_host_by_host', opclasses=['varchar_pattern_ops', 'int8_ops']),
        ),
    ]
