from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("labeling", "0014_add_label_expiry")]
    operations = [guard("labeling_label")]
