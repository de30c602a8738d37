import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("labeling", "0016_add_rechecks"),
    ]

    operations = [
        migrations.CreateModel(
            name='GroupCheck',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('agreed', models.BooleanField(null=True)),
                ('collected_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='GroupVerdict',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('label', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='group_verdict', to='labeling.label')),
                ('policy', models.JSONField()),
                ('items', models.PositiveIntegerField()),
                ('checks', models.PositiveIntegerField()),
                ('sessions', models.PositiveIntegerField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.AddField(
            model_name='groupcheck',
            name='item',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='group_checks', to='labeling.item'),
        ),
        migrations.AddField(
            model_name='groupcheck',
            name='origin',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='checks', to='labeling.label'),
        ),
        migrations.AddIndex(
            model_name='groupcheck',
            index=models.Index(condition=models.Q(('agreed', None)), fields=['item'], name='group_check_waiting'),
        ),
        migrations.AddConstraint(
            model_name='groupcheck',
            constraint=models.UniqueConstraint(fields=('origin', 'item'), name='one_check_per_group_and_item'),
        ),
    ]
