from django.db import migrations

FILL = """
UPDATE labeling_item SET
    sensor = (SELECT r.sensor FROM labeling_itemrecord r WHERE r.item_id = labeling_item.id),
    source = (SELECT r.source FROM labeling_itemrecord r WHERE r.item_id = labeling_item.id)
WHERE EXISTS (SELECT 1 FROM labeling_itemrecord r WHERE r.item_id = labeling_item.id)
"""
BACK = """
UPDATE labeling_itemrecord SET
    sensor = (SELECT i.sensor FROM labeling_item i WHERE i.id = labeling_itemrecord.item_id),
    source = (SELECT i.source FROM labeling_item i WHERE i.id = labeling_itemrecord.item_id)
"""


class Migration(migrations.Migration):
    dependencies = [("labeling", "0030_add_item_filters")]

    operations = [migrations.RunSQL(FILL, BACK)]
