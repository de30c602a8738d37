from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [guard("accounts_auditentry")]
