from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("triage", "0002_guard_complaints")]
    operations = [
        migrations.AddField("complaintstate", "due_at", models.DateTimeField(null=True)),
    ]
