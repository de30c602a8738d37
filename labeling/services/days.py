"""How much an expert answered on a day: a row of his own, so that nobody waits for anybody."""

from __future__ import annotations

from datetime import UTC, date, datetime

from django.db import connection

from accounts import prepared
from accounts.models import User
from labeling.models import ExpertDay

_COUNT = """
INSERT INTO labeling_expertday (expert_id, day, answered) VALUES (%s, %s, %s)
ON CONFLICT (expert_id, day) DO UPDATE SET answered = labeling_expertday.answered + excluded.answered
RETURNING answered
"""


def count(expert: User, moment: datetime, answers: int = 1) -> int:
    """Add answers to the day of a moment; negative: take them off. Return how many there are."""
    with prepared.cursor() as cursor:
        cursor.execute(_COUNT, [expert.pk, _stored(moment), answers])
        found: list[tuple[int]] = cursor.fetchall()
    return max(found[0][0], 0)


def answered(expert: User, moment: datetime) -> int:
    """Return how many items the expert answered on the day of a moment."""
    found = ExpertDay.objects.filter(expert=expert, day=_day(moment)).values_list("answered", flat=True).first()
    return max(found or 0, 0)


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _stored(moment: datetime) -> str | date | None:
    return connection.ops.adapt_datefield_value(_day(moment))
