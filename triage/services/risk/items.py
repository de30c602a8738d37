"""Alerts become items of the queue of hosts at risk."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.urls import reverse

from labeling.services import entity_days
from labeling.services.entity_days import EntityDay
from triage.models import RiskAlert

QUEUE = "hosts-at-risk"
_SOME = 200


def open_waiting() -> int:
    """Make items of the alerts that have none; return how many. Twice at once, or twice in a row, changes nothing."""
    waiting = list(RiskAlert.objects.without_item().order_by("id").values_list("pk", flat=True)[:_SOME])
    return _open(waiting) if waiting else 0


@transaction.atomic
def _open(pks: list[int]) -> int:
    alerts = RiskAlert.objects.without_item().select_for_update(of=("self",)).filter(pk__in=pks)
    told = list(alerts.select_related("entity__organisation", "night").order_by("pk"))
    made = entity_days.enqueue(entity_days.queue_of(QUEUE), [_day(alert) for alert in told])
    for alert, item in zip(told, made, strict=True):
        RiskAlert.objects.filter(pk=alert.pk).update(item=item)
    return len(told)


def _day(alert: RiskAlert) -> EntityDay:
    entity, organisation = alert.entity, alert.entity.organisation
    begin = datetime.combine(alert.day, time(), ZoneInfo(organisation.time_zone))
    return EntityDay(
        key=f"{organisation.slug}|{entity.pk}|{alert.day}",
        title=f"{entity.name} · {organisation.name} · {alert.day}",
        priority=alert.score,
        begin=begin,
        end=begin + timedelta(days=1),
        figures={
            "organisation": organisation.name,
            "entity": entity.name,
            "peers": entity.peers,
            "day": str(alert.day),
            "value": alert.value,
            "threshold": alert.threshold,
            "score": alert.score,
            "probability": alert.probability,
            "contributions": alert.contributions,
            "cold_start": alert.cold_start,
            "late": alert.late,
            "policy": alert.night.policy.get("version"),
            "page": reverse("triage:entity", args=[entity.pk]),
            "picture": reverse("triage:entity-picture", args=[entity.pk]) + f"?day={alert.day}",
        },
    )
