from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("labeling", "0023_add_suggestions")]
    operations = [guard("labeling_suggestion")]
