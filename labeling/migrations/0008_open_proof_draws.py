from django.db import migrations

from accounts.evidence import Guard, guard

closed = guard("labeling_proofdraw")


class Migration(migrations.Migration):
    """The columns of the table change, and SQLite rebuilds it; 0010 guards it again."""

    dependencies = [("labeling", "0007_add_complaint_items")]
    operations = [Guard(closed.reverse_code, closed.code)]
