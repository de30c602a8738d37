from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("labeling", "0001_initial")]
    operations = [guard("labeling_label")]
