import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("labeling", "0013_open_labels"),
    ]

    operations = [
        migrations.AddField(
            model_name='label',
            name='expires_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='label',
            name='expires_when',
            field=models.CharField(blank=True, choices=[('rule-set-changes', 'other rules are in force'), ('version-retires', 'the version is retired')], max_length=20),
        ),
        migrations.AddField(
            model_name='label',
            name='inherited_from',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='heirs', to='labeling.label'),
        ),
        migrations.AlterField(
            model_name='label',
            name='answer',
            field=models.CharField(choices=[('positive', 'positive'), ('negative', 'negative'), ('undecided', 'cannot tell'), ('withdrawn', 'withdrawn'), ('expired', 'expired')], max_length=10),
        ),
        migrations.AddIndex(
            model_name='label',
            index=models.Index(condition=models.Q(('expires_at', None), _negated=True), fields=['expires_at'], name='label_by_expiry'),
        ),
        migrations.AddIndex(
            model_name='label',
            index=models.Index(condition=models.Q(('expires_when', ''), _negated=True), fields=['expires_when'], name='label_by_trigger'),
        ),
    ]
