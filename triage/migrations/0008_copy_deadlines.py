from datetime import timedelta

from django.db import migrations

TERMS = {"promise": 86400.0, "warn_before": 14400.0, "escalate_after": [3600.0, 14400.0]}
WARN, LEVELS = timedelta(hours=4), (timedelta(hours=1), timedelta(hours=4))


def copy(apps, editor):
    """Give each complaint the clock that its states tell of, and the head that its newest state is."""
    get = apps.get_model
    names = ("Deadline", "DeadlineChange", "DeadlineNotice", "ComplaintNotice")
    deadlines, changes_of, noted, told_before = (get("triage", name) for name in names)
    for complaint in get("triage", "Complaint").objects.order_by("id"):
        states = list(get("triage", "ComplaintState").objects.filter(complaint=complaint).order_by("id"))
        changes, due, paused, stopped = [("started", complaint.received_at, complaint.due_at)], complaint.due_at, None, None
        for step in states:
            if step.state == "needs-information" and stopped is None:
                paused = step.at
                changes.append(("paused", step.at, due))
            elif paused is not None and stopped is None:
                due, paused = step.due_at or due + max(step.at - paused, timedelta()), None
                changes.append(("resumed", step.at, due))
            if step.state in ("published", "told") and stopped is None:
                stopped = step.at
                changes.append(("stopped", step.at, due))
        old = list(told_before.objects.filter(complaint=complaint))
        written = {notice.kind for notice in old}
        marks = [("warning", due - WARN), ("breach", due), *(("escalation", due + after) for after in LEVELS)]
        waiting = [at for kind, at in marks if kind not in written]
        made = deadlines.objects.create(
            started_at=complaint.received_at, terms=TERMS, promised_at=complaint.due_at, due_at=due, paused_at=paused,
            stopped_at=stopped, next_mark_at=min(waiting) if paused is None and stopped is None and waiting else None,
        )
        for kind, at, then in changes:
            changes_of.objects.create(deadline=made, kind=kind, at=at, due_at=then)
        for notice in old:
            noted.objects.create(
                deadline=made, kind=notice.kind, due_at=notice.due_at, passed_at=notice.passed_at, at=notice.at
            )
        told = next((step.at for step in states if step.state == "told"), None)
        complaint.deadline, complaint.told_at = made, told
        complaint.state = states[-1].state if states else "received"
        complaint.save()
    for user in get("accounts", "User").objects.filter(role="support"):  # until now everybody served everybody
        get("triage", "Serving").objects.create(user=user, customer=None)


class Migration(migrations.Migration):
    dependencies = [("triage", "0007_add_promises_and_outbox")]
    operations = [migrations.RunPython(copy, migrations.RunPython.noop)]
