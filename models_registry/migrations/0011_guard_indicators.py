from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0010_add_indicators")]
    operations = [guard("models_registry_indicatorlistversion")]
