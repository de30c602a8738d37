from django.db import migrations
from django.db.models import Count


def fill(apps, editor):
    Queue = apps.get_model("labeling", "Queue")
    Item = apps.get_model("labeling", "Item")
    names = {"open": "waiting", "conflict": "conflicts"}
    found = Item.objects.filter(state__in=names).order_by().values_list("queue_id", "state").annotate(n=Count("pk"))
    for queue, state, count in found:
        Queue.objects.filter(pk=queue).update(**{names[state]: count})


class Migration(migrations.Migration):
    dependencies = [("labeling", "0005_guard_proof")]
    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
