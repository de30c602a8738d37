import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('labeling', '0022_add_neighbour_index'),
    ]

    operations = [
        migrations.CreateModel(
            name='Suggestion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('model', models.CharField(max_length=100)),
                ('answer', models.CharField(blank=True, choices=[('positive', 'positive'), ('negative', 'negative'), ('undecided', 'cannot tell')], max_length=10)),
                ('reason', models.CharField(blank=True, max_length=300)),
                ('error', models.CharField(blank=True, max_length=200)),
                ('sent', models.JSONField()),
                ('milliseconds', models.PositiveIntegerField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('item', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='suggestions', to='labeling.item')),
            ],
            options={
                'ordering': ['id'],
                'indexes': [models.Index(fields=['created_at'], name='suggestion_by_time')],
                'constraints': [models.UniqueConstraint(condition=models.Q(('error', '')), fields=('item', 'model'), name='one_suggestion_per_item_and_model')],
            },
        ),
    ]
