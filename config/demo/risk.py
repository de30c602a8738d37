"""Hosts at risk in the demo: a quiet office and a busy one. Gerrard of sales and Joe of marketing work in both."""

from __future__ import annotations

from detection.adaptive.simulation import HABITS
from triage.services.risk import nights, simulated

OFFICES = {"Quiet office (synthetic)": "quiet", "Busy office (synthetic)": "busy"}
PEOPLE, DAYS = 40, 45
BUDGET = 1.0  # alerts a day
SEED = 1


def tell_days() -> int:
    """Tell what behaviour models would have said up to yesterday, and let a worker close these days; return how many.

    What an earlier start told stays: only days since then are added."""
    days = 0
    for name, habit in OFFICES.items():
        office = simulated.organisation(name, budget=BUDGET)
        days += len(simulated.tell(office, HABITS[habit], PEOPLE, DAYS, SEED))
    nights.start_due()
    return days
