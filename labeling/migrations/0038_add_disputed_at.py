from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("labeling", "0037_add_saved_queues"),
        ('models_registry', '0011_guard_indicators'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='item',
            name='disputed_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddIndex(
            model_name='item',
            index=models.Index(condition=models.Q(('state', 'conflict')), fields=['disputed_at', 'id'], name='item_conflict_by_age'),
        ),
        migrations.AddIndex(
            model_name='item',
            index=models.Index(condition=models.Q(('state', 'returned')), fields=['disputed_at', 'id'], name='item_returned_by_age'),
        ),
    ]
