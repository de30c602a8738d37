import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True
    replaces = [
        ('traffic', '0001_initial'),
        ('traffic', '0002_add_streams'),
        ('traffic', '0003_add_outside_hits'),
        ('traffic', '0004_add_dumps'),
        ('traffic', '0005_add_late_hits'),
        ('traffic', '0006_add_retention'),
        ('traffic', '0007_add_geo_digest'),
        ('traffic', '0008_add_compaction'),
    ]

    dependencies = [
        ('accounts', '0001_start'),
    ]

    operations = [
        migrations.CreateModel(
            name='RuleSet',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=64, unique=True)),
                ('name', models.CharField(max_length=255)),
                ('rules', models.PositiveIntegerField(default=0)),
                ('declared', models.BooleanField(default=True)),
                ('index_path', models.CharField(blank=True, max_length=255)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name='Sensor',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('rule_set', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='sensors', to='traffic.ruleset')),
            ],
        ),
        migrations.CreateModel(
            name='Intake',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=64, unique=True)),
                ('path', models.CharField(max_length=1000)),
                ('kind', models.CharField(choices=[('traffic', 'traffic'), ('dump', 'dump')], default='traffic', max_length=8)),
                ('lines', models.BigIntegerField(default=0)),
                ('http', models.BigIntegerField(default=0)),
                ('tls', models.BigIntegerField(default=0)),
                ('rule_hits', models.BigIntegerField(default=0)),
                ('orphan_hits', models.BigIntegerField(default=0)),
                ('late_hits', models.BigIntegerField(default=0)),
                ('rejected', models.BigIntegerField(default=0)),
                ('other', models.JSONField(default=dict)),
                ('reject_reasons', models.JSONField(default=dict)),
                ('quarantine_path', models.CharField(blank=True, max_length=255)),
                ('orphans_path', models.CharField(blank=True, max_length=255)),
                ('hits_collected_at', models.DateTimeField(null=True)),
                ('hits_first_at', models.DateTimeField(null=True)),
                ('hits_last_at', models.DateTimeField(null=True)),
                ('seconds', models.FloatField(default=0)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('replay_of', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='replays', to='traffic.intake')),
                ('sensor', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='intakes', to='traffic.sensor')),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [models.Index(condition=models.Q(('hits_collected_at', None), models.Q(('orphans_path', ''), _negated=True)), fields=['id'], name='intake_with_late_hits'), models.Index(condition=models.Q(('hits_last_at__isnull', False)), fields=['sensor', 'hits_last_at'], name='intake_hits_by_time')],
            },
        ),
        migrations.CreateModel(
            name='Segment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(max_length=100)),
                ('protocol', models.CharField(default='http', max_length=16)),
                ('kind', models.CharField(choices=[('traffic', 'traffic'), ('dump', 'dump')], default='traffic', max_length=8)),
                ('sessions_path', models.CharField(max_length=255)),
                ('raw_path', models.CharField(max_length=255)),
                ('digest', models.CharField(max_length=64)),
                ('geo_digest', models.CharField(blank=True, max_length=64)),
                ('rows', models.PositiveIntegerField()),
                ('first_at', models.DateTimeField(null=True)),
                ('last_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('sealed_at', models.DateTimeField(null=True)),
                ('raw_deleted_at', models.DateTimeField(null=True)),
                ('deleted_at', models.DateTimeField(null=True)),
                ('compacted_at', models.DateTimeField(null=True)),
                ('hits_asked_at', models.DateTimeField(null=True)),
                ('late_hits', models.PositiveIntegerField(default=0)),
                ('intake', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='segments', to='traffic.intake')),
                ('merged_into', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='merged', to='traffic.segment')),
                ('rule_set', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='segments', to='traffic.ruleset')),
                ('sensor', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='segments', to='traffic.sensor')),
            ],
            options={
                'ordering': ['id'],
                'indexes': [models.Index(fields=['protocol', 'last_at'], name='segment_by_time'), models.Index(fields=['sensor', 'last_at'], name='segment_of_sensor_by_time'), models.Index(condition=models.Q(('hits_asked_at', None), ('sealed_at__isnull', False)), fields=['id'], name='segment_unasked')],
            },
        ),
        migrations.CreateModel(
            name='Stream',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=500, unique=True)),
                ('spool', models.CharField(blank=True, max_length=64)),
                ('state', models.CharField(choices=[('reading', 'reading'), ('waiting', 'another consumer reads'), ('held', 'held back'), ('stopped', 'stopped')], default='reading', max_length=16)),
                ('reason', models.CharField(blank=True, max_length=255)),
                ('lag', models.BigIntegerField(default=0)),
                ('unit', models.CharField(max_length=16)),
                ('spool_bytes', models.BigIntegerField(default=0)),
                ('seen_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('caught_up_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('line_at', models.DateTimeField(null=True)),
                ('position', models.JSONField(null=True)),
                ('sensor', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='streams', to='traffic.sensor')),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='OutsideHit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('system', models.CharField(max_length=100)),
                ('session_key', models.CharField(max_length=200)),
                ('sensor', models.CharField(max_length=100)),
                ('flow_id', models.BigIntegerField()),
                ('tx_id', models.BigIntegerField(null=True)),
                ('start', models.BigIntegerField()),
                ('rule_id', models.CharField(max_length=100)),
                ('rule_name', models.CharField(blank=True, max_length=255)),
                ('at', models.DateTimeField()),
                ('received_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('asked_at', models.DateTimeField(null=True)),
                ('collected_at', models.DateTimeField(null=True)),
                ('token', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.token')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('asked_at', None), ('collected_at', None)), fields=['id'], name='outside_hit_mailbox'), models.Index(condition=models.Q(('collected_at', None)), fields=['sensor', 'start'], name='outside_hit_by_time')],
                'constraints': [models.UniqueConstraint(fields=('session_key', 'system', 'rule_id'), name='one_hit_per_system_and_rule')],
            },
        ),
        migrations.CreateModel(
            name='LateHit',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('row', models.PositiveIntegerField()),
                ('mark', models.CharField(max_length=64)),
                ('value', models.TextField()),
                ('number', models.PositiveBigIntegerField(null=True)),
                ('times', models.PositiveIntegerField(default=1)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('intake', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='traffic.intake')),
                ('segment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='hits_beside', to='traffic.segment')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('segment', 'row', 'mark'), name='one_late_hit_per_session')],
            },
        ),
    ]
