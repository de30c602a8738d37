from django.db import migrations

from accounts.evidence import guard


class Migration(migrations.Migration):
    dependencies = [("labeling", "0017_add_group_verdicts")]
    operations = [guard("labeling_groupverdict")]
