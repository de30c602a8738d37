from django.db import migrations

from accounts.evidence import guard

TABLES = (
    "shipquery",
    "shipqueryproposal",
    "shipquerydecision",
    "verdictdiff",
    "diffgroup",
    "diffreview",
    "claim",
    "acceptedloss",
    "thresholdproposal",
    "thresholddecision",
)


class Migration(migrations.Migration):
    dependencies = [("models_registry", "0019_add_gate_evidence")]
    operations = [guard(f"models_registry_{table}") for table in TABLES]
