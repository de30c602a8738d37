from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("triage", "0004_add_notices")]
    operations = [guard("triage_complaintnotice")]
