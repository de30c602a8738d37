from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("labeling", "0038_add_disputed_at")]
    operations = [
        migrations.RunSQL(
            "UPDATE labeling_item SET disputed_at = created_at WHERE state = 'conflict'", migrations.RunSQL.noop
        )
    ]
