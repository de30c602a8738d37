from django.db import migrations

from accounts.evidence import guard

TABLES = ("referenceproposal", "referencedecision", "referenceevent", "dispute", "disputedecision")


class Migration(migrations.Migration):
    dependencies = [("labeling", "0027_add_disputes")]
    operations = [guard(f"labeling_{table}") for table in TABLES]
