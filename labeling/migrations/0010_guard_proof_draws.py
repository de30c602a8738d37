from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("labeling", "0009_add_strata")]
    operations = [guard("labeling_proofdraw")]
