import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('labeling', '0021_add_indexes_of_surroundings'),
        ('models_registry', '0011_guard_indicators'),
    ]

    operations = [
        migrations.CreateModel(
            name='NeighbourIndex',
            fields=[
                ('version', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='neighbour_index', serialize=False, to='models_registry.version')),
                ('path', models.CharField(max_length=255)),
                ('rows', models.PositiveIntegerField()),
                ('built_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
    ]
