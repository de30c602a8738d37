from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("labeling", "0045_add_contradictions"),
    ]

    operations = [
        migrations.AddField(
            model_name='queue',
            name='raised_share',
            field=models.FloatField(default=0.0),
        ),
    ]
