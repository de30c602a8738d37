"""What is deleted of telemetry by age, every night (docs/decisions/0073). What was unusual stays."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from detection.divergence import POLICY
from models_registry.models import Version
from triage.models import PairDay, StreamDay, TelemetryDay
from triage.services.telemetry import fits, intake

PERIODS = fits.LONGEST  # hours may come for 92 days and replay theirs, a refit asks for 56 periods, a chart for 84
COUNTS = timedelta(days=400)  # sums of days: the same month a year ago can be looked at
REACH = 31  # days of the past that one night looks through: a house may stand still for a month


def discard_old(now: datetime | None = None) -> int:
    """Delete messages, periods and sums that nothing asks for any more; return how many rows."""
    now = now or timezone.now()
    today = now.astimezone(UTC).date()
    return intake.discard_old(now) + _periods(today - PERIODS) + _counts(today - COUNTS)


def _periods(before: date) -> int:
    """Delete usual periods, but what a stream in use has learnt from, and the state from which a late hour goes on."""
    later = StreamDay.objects.filter(stream=OuterRef("stream"), day__gt=OuterRef("day"), day__lt=before)
    usual = StreamDay.objects.filter(Exists(later), statistic__lt=POLICY.freeze_at, is_frozen=False)
    gone = 0
    for number in range(1, REACH + 1):  # a day at a time, so that nobody waits long for a writer
        day = before - timedelta(days=number)
        gone += usual.filter(Q(is_learning=False) | Q(stream__last_day__lt=before), day=day).delete()[0]
    ended = Q(stream__last_day__gte=before - timedelta(days=REACH), stream__last_day__lt=before)
    return gone + usual.filter(ended, is_learning=True).delete()[0]


def _counts(before: date) -> int:
    gone = 0
    for version in Version.objects.order_by("pk").values_list("pk", flat=True):
        gone += TelemetryDay.objects.filter(version=version, day__lt=before, stepped_at__isnull=False).delete()[0]
        gone += PairDay.objects.filter(a=version, day__lt=before).delete()[0]
    return gone
