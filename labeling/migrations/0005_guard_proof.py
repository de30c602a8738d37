from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("labeling", "0004_add_proof")]
    operations = [guard("labeling_proofdraw"), guard("labeling_proofitem")]
