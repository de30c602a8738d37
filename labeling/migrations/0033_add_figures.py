import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("labeling", "0032_remove_record_sensor"),
        ('models_registry', '0011_guard_indicators'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='QueuePrice',
            fields=[
                ('queue', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='price', serialize=False, to='labeling.queue')),
                ('labels', models.PositiveIntegerField()),
                ('median_ms', models.PositiveIntegerField()),
                ('p90_ms', models.PositiveIntegerField()),
                ('per_item', models.FloatField(null=True)),
                ('measured_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='AgreementFigure',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('items', models.PositiveIntegerField()),
                ('agreed', models.PositiveIntegerField()),
                ('value', models.FloatField(null=True)),
                ('low', models.FloatField(null=True)),
                ('high', models.FloatField(null=True)),
                ('policy', models.JSONField()),
                ('measured_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('detector', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='agreement_figures', to='models_registry.detector')),
                ('first', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('second', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['id'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('first', None)), fields=('detector', 'day'), name='one_agreement_per_detector_and_day'), models.UniqueConstraint(fields=('detector', 'day', 'first', 'second'), name='one_agreement_per_pair_and_day')],
            },
        ),
        migrations.CreateModel(
            name='ExpertFigure',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('labels', models.PositiveIntegerField()),
                ('median_ms', models.PositiveIntegerField(null=True)),
                ('p90_ms', models.PositiveIntegerField(null=True)),
                ('shared', models.PositiveIntegerField(default=0)),
                ('agreed', models.PositiveIntegerField(default=0)),
                ('seeds', models.PositiveIntegerField(default=0)),
                ('seeds_right', models.PositiveIntegerField(default=0)),
                ('unique', models.PositiveIntegerField(default=0)),
                ('false_positives', models.PositiveIntegerField(default=0)),
                ('detector', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='expert_figures', to='models_registry.detector')),
                ('expert', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='figures', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['id'],
                'indexes': [models.Index(fields=['expert', '-day'], name='expert_figure_newest')],
                'constraints': [models.UniqueConstraint(fields=('detector', 'expert', 'day'), name='one_figure_per_expert_and_day')],
            },
        ),
    ]
