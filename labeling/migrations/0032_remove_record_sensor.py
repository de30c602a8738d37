from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("labeling", "0031_fill_item_sensor")]

    operations = [
        migrations.RemoveField(model_name="itemrecord", name="sensor"),
        migrations.RemoveField(model_name="itemrecord", name="source"),
    ]
