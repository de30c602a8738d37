from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0003_add_stage_approvals")]
    operations = [guard("models_registry_stageproposal"), guard("models_registry_stagedecision")]
