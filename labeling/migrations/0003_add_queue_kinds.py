from django.db import migrations, models
import django.db.models.deletion


class Migration(migrations.Migration):

    dependencies = [
        ('labeling', '0002_guard_labels'),
    ]

    operations = [
        migrations.AlterField(
            model_name='queue',
            name='kind',
            field=models.CharField(choices=[('complaint', 'complaints'), ('unique', 'unique candidates'), ('disagreement', 'disagreement'), ('uncertain', 'uncertain'), ('missed', 'missed'), ('proof', 'proof')], default='unique', max_length=16),
        ),
        migrations.AddField(
            model_name='queue',
            name='conflicts',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='queue',
            name='waiting',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='item',
            name='labels_needed',
            field=models.PositiveSmallIntegerField(null=True),
        ),
        migrations.AlterField(
            model_name='item',
            name='state',
            field=models.CharField(choices=[('open', 'open'), ('conflict', 'conflict'), ('settled', 'settled'), ('expired', 'expired')], default='open', max_length=10),
        ),
        migrations.CreateModel(
            name='QueueDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('admitted', models.PositiveIntegerField(default=0)),
                ('left_out', models.PositiveIntegerField(default=0)),
                ('queue', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='days', to='labeling.queue')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('queue', 'day'), name='one_row_per_queue_and_day')],
            },
        ),
    ]
