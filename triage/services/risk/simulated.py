"""Organisations of people that do not exist, for demos and tests: days are told and closed as real ones are."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from django.utils import timezone

from detection.adaptive import simulation
from detection.adaptive.simulation import Habit
from triage.models import Organisation
from triage.services.risk import nights, organisations, scores
from triage.services.risk.scores import Told

TOLD_BY = "simulator"


def organisation(name: str, *, budget: float) -> Organisation:
    """Return the organisation of this name; one in UTC is made when there is none."""
    found = Organisation.objects.filter(name=name).first()
    return found or organisations.make(name, budget=budget)


def live(of: Organisation, habit: Habit, people: int, days: int, seed: int) -> int:
    """Tell and close so many days up to yesterday; return how many alerts came of it."""
    first = timezone.now().date() - timedelta(days=days)
    alerts = 0
    for ordinal in range(days):
        day = first + timedelta(days=ordinal)
        midnight = datetime.combine(day, time(), UTC)
        told = [
            Told(one.entity, one.feature, midnight + timedelta(seconds=one.second), one.score, one.department)
            for one in simulation.day(habit, people, ordinal, seed)
        ]
        scores.take_in(of, told, TOLD_BY)
        scores.hear(of, [day])
        alerts += nights.close(of.weights, day).alerts
    return alerts
