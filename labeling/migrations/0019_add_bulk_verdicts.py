import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("jobs", "0002_add_lines"),
        ("labeling", "0018_guard_group_verdicts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='BulkVerdict',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('filter', models.CharField(blank=True, max_length=1000)),
                ('answer', models.CharField(choices=[('positive', 'positive'), ('negative', 'negative'), ('undecided', 'cannot tell'), ('withdrawn', 'withdrawn'), ('expired', 'expired')], max_length=10)),
                ('reason_code', models.CharField(blank=True, choices=[('lookalike', 'look-alike application'), ('shared-infrastructure', 'shared infrastructure (CDN, proxy, NAT)'), ('own-test', 'own security test'), ('new-version', 'new version of known software'), ('broken-session', 'broken or truncated session'), ('wrong-enrichment', 'wrong enrichment (geo, owner, DNS)'), ('threshold', 'threshold too low'), ('other', 'other')], max_length=24)),
                ('family', models.CharField(blank=True, max_length=64)),
                ('authorised', models.BooleanField(default=False)),
                ('note', models.TextField()),
                ('expires_at', models.DateTimeField(null=True)),
                ('expires_when', models.CharField(blank=True, choices=[('rule-set-changes', 'other rules are in force'), ('version-retires', 'the version is retired')], max_length=20)),
                ('preview', models.JSONField()),
                ('items', models.JSONField()),
                ('place', models.PositiveIntegerField(default=0)),
                ('applied', models.PositiveIntegerField(default=0)),
                ('left_out', models.JSONField(default=dict)),
                ('withdrawn', models.PositiveIntegerField(default=0)),
                ('kept', models.PositiveIntegerField(default=0)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.AddField(
            model_name='bulkverdict',
            name='by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='bulk_verdicts', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='bulkverdict',
            name='job',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='jobs.job'),
        ),
        migrations.AddField(
            model_name='bulkverdict',
            name='label',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='bulk_verdict', to='labeling.label'),
        ),
        migrations.AddField(
            model_name='bulkverdict',
            name='queue',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='bulk_verdicts', to='labeling.queue'),
        ),
        migrations.AddField(
            model_name='bulkverdict',
            name='undo_job',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='jobs.job'),
        ),
        migrations.AddIndex(
            model_name='bulkverdict',
            index=models.Index(fields=['by', '-id'], name='bulk_verdict_by_person'),
        ),
    ]
