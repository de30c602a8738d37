from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("labeling", "0035_add_returned_items")]
    operations = [guard("labeling_adjudication"), guard("labeling_question")]
