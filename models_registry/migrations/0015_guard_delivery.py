from django.db import migrations

from accounts.evidence import guard

TABLES = ("feedfile", "release", "releasesignature", "releaseoutcome", "bundlereceipt", "appliancereport")


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0014_add_delivery")]
    operations = [guard(f"models_registry_{table}") for table in TABLES]
