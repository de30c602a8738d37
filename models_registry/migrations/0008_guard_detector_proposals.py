from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0007_add_detector_proposals")]
    operations = [guard("models_registry_detectorproposal"), guard("models_registry_detectordecision")]
