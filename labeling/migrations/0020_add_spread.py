from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('labeling', '0019_add_bulk_verdicts'),
    ]

    operations = [
        migrations.AddField(
            model_name='itemrecord',
            name='spread',
            field=models.TextField(blank=True),
        ),
    ]
