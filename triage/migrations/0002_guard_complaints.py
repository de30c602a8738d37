from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("triage", "0001_initial")]
    operations = [guard("triage_complaint"), guard("triage_complaintstate")]
