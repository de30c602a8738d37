import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("labeling", "0040_add_bulk_checks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='item',
            name='state',
            field=models.CharField(choices=[('open', 'open'), ('conflict', 'conflict'), ('returned', 'returned'), ('settled', 'settled'), ('seed', 'open'), ('expired', 'expired')], default='open', max_length=10),
        ),
        migrations.CreateModel(
            name='Seed',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('expected', models.CharField(choices=[('positive', 'positive'), ('negative', 'negative'), ('undecided', 'cannot tell'), ('withdrawn', 'withdrawn'), ('expired', 'expired')], max_length=10)),
                ('policy', models.JSONField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('given_at', models.DateTimeField(null=True)),
                ('expert', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='seeds', to=settings.AUTH_USER_MODEL)),
                ('instead_of', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='labeling.item')),
                ('item', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='seed', to='labeling.item')),
                ('original', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='seeds', to='labeling.item')),
            ],
            options={
                'indexes': [models.Index(condition=models.Q(('instead_of', None)), fields=['expert'], name='seed_ready')],
                'constraints': [models.UniqueConstraint(fields=('expert', 'original'), name='one_seed_per_expert_and_case'), models.UniqueConstraint(fields=('expert', 'instead_of'), name='one_seed_before_an_item')],
            },
        ),
    ]
