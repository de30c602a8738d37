from django.db import migrations
from django.db.models import Count
from django.db.models.functions import TruncDate


def fill(apps, editor):
    label, expert_day = (apps.get_model("labeling", name) for name in ("Label", "ExpertDay"))
    current = label.objects.filter(source="expert", superseded_by=None, inherited_from=None)
    days = current.exclude(answer__in=["withdrawn", "expired"]).annotate(day=TruncDate("created_at"))
    counts = days.order_by().values("expert", "day").annotate(answers=Count("pk")).values_list("expert", "day", "answers")
    expert_day.objects.bulk_create(
        (expert_day(expert_id=expert, day=day, answered=answers) for expert, day, answers in counts), batch_size=500
    )


class Migration(migrations.Migration):
    dependencies = [("labeling", "0043_add_expert_days")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
