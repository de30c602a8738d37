import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("labeling", "0044_fill_expert_days"),
        ('models_registry', '0011_guard_indicators'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Contradiction',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('place', models.PositiveSmallIntegerField()),
                ('shape', models.CharField(max_length=64)),
                ('strength', models.FloatField()),
                ('reasons', models.JSONField()),
                ('policy', models.JSONField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('asked_at', models.DateTimeField(null=True)),
                ('asked_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('detector', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='contradictions', to='models_registry.detector')),
                ('item', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='contradictions', to='labeling.item')),
                ('row', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='contradictions', to='labeling.referencerow')),
            ],
            options={
                'ordering': ['-day', 'detector__name', 'place'],
                'indexes': [models.Index(condition=models.Q(('asked_at__isnull', False)), fields=['detector', '-asked_at'], name='contradiction_asked')],
                'constraints': [models.UniqueConstraint(fields=('detector', 'day', 'place'), name='one_contradiction_per_place'), models.UniqueConstraint(fields=('detector', 'day', 'shape'), name='one_contradiction_per_look_and_day')],
            },
        ),
    ]
