import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("triage", "0003_add_moved_deadline")]
    operations = [
        migrations.CreateModel(
            name="ComplaintNotice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(choices=[("warning", "warning"), ("breach", "breach")], max_length=8)),
                ("due_at", models.DateTimeField()),
                ("passed_at", models.DateTimeField()),
                ("at", models.DateTimeField()),
                (
                    "complaint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="notices", to="triage.complaint"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "constraints": [models.UniqueConstraint(fields=("complaint", "kind"), name="one_notice_per_mark")],
            },
        ),
    ]
