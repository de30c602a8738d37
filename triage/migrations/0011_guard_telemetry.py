from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("triage", "0010_add_telemetry")]
    operations = [
        guard("triage_incidentstep"),
        guard("triage_streamrestart"),
        guard("triage_precisionfit"),
        guard("triage_falseincidentrate"),
    ]
