"""How many false incidents the house wants a week, and the A that follows from it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import date, timedelta

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from detection.divergence import MEASURED_BELOW_BOUND, POLICY, between_false_alarms
from models_registry.models import Detector
from triage.models import DivergenceDay, FalseIncidentRate, Stream

DEFAULT = 1.0  # false incidents a week, before anybody chose
MOST = 1_000.0
WATCHED = timedelta(days=7)  # a stream that had a period within these is watched


@dataclass(frozen=True, slots=True)
class Rate:
    """What was chosen, and what it means for the streams that are watched."""

    per_week: float
    streams: int
    needed: float  # A

    @property
    def bound(self) -> float:
        """At most so many false incidents a week, whatever is true: 7 S / A."""
        return 7 * self.streams / self.needed

    @property
    def expected(self) -> float:
        """What was measured with reference and precision estimated: about 20 times fewer."""
        return self.bound / MEASURED_BELOW_BOUND


class RateRefused(ValueError):  # noqa: N818
    """Nothing was written; the message says why."""


def chosen() -> float:
    newest = FalseIncidentRate.objects.order_by("-id").first()
    return newest.per_week if newest else DEFAULT


def on(day: date) -> Rate:
    """Return the rate in force and the A of the streams that are watched on a day."""
    per_week = chosen()
    streams = Stream.objects.filter(is_silent=False, last_day__gte=day - WATCHED).count()
    return Rate(per_week, streams, between_false_alarms(max(streams, 1), per_week, POLICY))


def now() -> Rate:
    """Return the rate in force and the A of the streams that are watched today."""
    return on(timezone.now().date())


def history() -> list[FalseIncidentRate]:
    """Return the newest choices, newest first."""
    return list(FalseIncidentRate.objects.select_related("by")[:20])


@transaction.atomic
def choose(per_week: float, by: User) -> FalseIncidentRate:
    """Choose the rate for days that are yet to be closed. Raises RateRefused."""
    if not (math.isfinite(per_week) and 0.001 <= per_week <= MOST):
        raise RateRefused(f"expected 0.001 to {MOST:g} false incidents a week")
    before = chosen()
    made = FalseIncidentRate.objects.create(per_week=per_week, by=by)
    audit.record(by, "divergence.rate", "false incidents a week", before=before, after=per_week)
    return made


def night_of(detector: Detector, day: date) -> DivergenceDay:
    """Return the row of a day, with the A that was in force when it was closed first."""
    found = DivergenceDay.objects.filter(detector=detector, day=day).first()
    if found is not None:
        return found
    rate = on(day)
    return DivergenceDay.objects.create(
        detector=detector,
        day=day,
        policy=asdict(POLICY),
        per_week=rate.per_week,
        fleet_streams=rate.streams,
        needed=rate.needed,
    )
