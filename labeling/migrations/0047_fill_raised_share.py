from django.db import migrations


class Migration(migrations.Migration):
    """What drawn items had from the policy is now said by their queues."""

    dependencies = [("labeling", "0046_add_raised_share")]
    operations = [
        migrations.RunSQL(
            "UPDATE labeling_queue SET labels_needed = 1, raised_share = 0.2 WHERE kind = 'proof'",
            migrations.RunSQL.noop,
        )
    ]
