from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("triage", "0003_places_and_their_scores")]

    operations = [
        # what was kept in words stays as it was written
        migrations.RenameField("attachment", "told", "written"),
        migrations.AddField("attachment", "remarks", models.JSONField(default=list)),
    ]
