"""Hosts at risk in the demo: a quiet office and a busy one, where Gerrard of sales and Joe of marketing work, and the
simulated network, whose hosts our own detectors speak of."""

from __future__ import annotations

from detection.adaptive.simulation import HABITS
from traffic.models import Sensor
from triage.models.risk import PRIVATE
from triage.services.risk import detectors, nights, organisations, simulated

OFFICES = {"Quiet office (synthetic)": "quiet", "Busy office (synthetic)": "busy"}
PEOPLE, DAYS = 40, 45
NETWORK = "Simulated network (synthetic)"
BUDGET = 1.0  # alerts a day
SEED = 1


def tell_days() -> int:
    """Tell what behaviour models would have said up to yesterday, and let a worker close these days; return how many.

    What an earlier start told stays: only days since then are added."""
    days = 0
    for name, habit in OFFICES.items():
        office = simulated.organisation(name, budget=BUDGET)
        days += len(simulated.tell(office, HABITS[habit], PEOPLE, DAYS, SEED))
    watch_sensors()
    nights.start_due()
    return days


def watch_sensors() -> None:
    """Give the hosts of sensors that belong to nobody to the simulated network, and take in what was said of them."""
    strays = list(Sensor.objects.filter(watched=None))
    if strays:
        network = simulated.organisation(NETWORK, budget=BUDGET)
        for sensor in strays:
            organisations.watch(sensor, network, PRIVATE, None)
    detectors.take_waiting()
