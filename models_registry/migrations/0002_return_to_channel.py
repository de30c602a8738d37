from django.conf import settings
from django.db import migrations, models

from accounts.evidence import guard, unguard

TABLES = ("models_registry_publication", "models_registry_release")


class Migration(migrations.Migration):
    dependencies = [
        ("models_registry", "0001_start"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        *(unguard(table) for table in TABLES),
        migrations.RemoveConstraint(
            model_name="publication",
            name="customers_publications_name_one",
        ),
        migrations.AddField(
            model_name="release",
            name="takes_back",
            field=models.CharField(blank=True, max_length=16),
        ),
        migrations.AddConstraint(
            model_name="publication",
            constraint=models.CheckConstraint(
                condition=models.Q(("channel", "customer"), _negated=True) | models.Q(("customer__isnull", False)),
                name="customers_publications_name_one",
            ),
        ),
        *(guard(table) for table in TABLES),
    ]
