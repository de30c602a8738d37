from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("labeling", "0034_add_adjudications"),
        ('models_registry', '0011_guard_indicators'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='item',
            name='state',
            field=models.CharField(choices=[('open', 'open'), ('conflict', 'conflict'), ('returned', 'returned'), ('settled', 'settled'), ('expired', 'expired')], default='open', max_length=10),
        ),
    ]
