"""Organisations of people that do not exist, for demos and tests: days are told and closed as real ones are."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from django.db.models import Max, Min
from django.utils import timezone

from detection.adaptive import simulation
from detection.adaptive.simulation import Habit
from triage.models import Organisation, RiskScore
from triage.services.risk import nights, organisations, scores
from triage.services.risk.scores import Told

TOLD_BY = "simulator"


def organisation(name: str, *, budget: float) -> Organisation:
    """Return the organisation of this name; one in UTC is made when there is none."""
    found = Organisation.objects.filter(name=name).first()
    return found or organisations.make(name, budget=budget)


def live(of: Organisation, habit: Habit, people: int, days: int, seed: int) -> int:
    """Tell and close so many days up to yesterday; return how many alerts came of it."""
    return sum(nights.close(of.weights, day).alerts for day in tell(of, habit, people, days, seed))


@transaction.atomic
def tell(of: Organisation, habit: Habit, people: int, days: int, seed: int) -> list[date]:
    """Tell so many days up to yesterday, or those since the newest with scores; return which.

    Gerrard and Joe speak on the first day, so that a later call knows it."""
    yesterday = timezone.now().date() - timedelta(days=1)
    known = RiskScore.objects.filter(organisation=of, told_by=TOLD_BY).aggregate(first=Min("day"), last=Max("day"))
    first = known["first"] or yesterday - timedelta(days=days - 1)
    begin = known["last"] + timedelta(days=1) if known["last"] else first
    told = [begin + timedelta(days=number) for number in range((yesterday - begin).days + 1)]
    for day in told:
        midnight = datetime.combine(day, time(), UTC)
        events = [
            Told(one.entity, one.feature, midnight + timedelta(seconds=one.second), one.score, one.department)
            for one in simulation.day(habit, people, (day - first).days, seed)
        ]
        scores.take_in(of, events, TOLD_BY)
        scores.hear(of, [day])
    return told
