from django.db import migrations

from accounts.evidence import guard

TABLES = ("bundle", "bundleentry", "gatereport", "rulemappingversion", "snapshot", "stagechange", "trainingset")


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0001_initial")]
    operations = [guard(f"models_registry_{table}") for table in TABLES]
