from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("labeling", "0008_open_proof_draws")]
    operations = [
        migrations.RemoveConstraint("proofdraw", "one_draw_per_file_and_day"),
        migrations.RenameField("proofdraw", "positives", "sessions"),
        migrations.AddField(
            "proofdraw", "stratum", models.CharField(blank=True, default="", max_length=32), preserve_default=False
        ),
        migrations.AddConstraint(
            "proofdraw",
            models.UniqueConstraint(
                fields=("score_file", "day", "stratum"), name="one_draw_per_file_day_and_stratum"
            ),
        ),
    ]
