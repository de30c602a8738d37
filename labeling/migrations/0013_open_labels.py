from django.db import migrations

from accounts.evidence import Guard, guard

closed = guard("labeling_label")


class Migration(migrations.Migration):
    """The columns of the table change, and SQLite rebuilds it; 0015 guards it again."""

    dependencies = [("labeling", "0012_add_late_hit")]
    operations = [Guard(closed.reverse_code, closed.code)]
