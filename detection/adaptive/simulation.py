"""An organisation of people that does not exist: what first-layer behaviour models would say of them, day by day.

Two habits, of the worked examples of hosts at risk: in a quiet organisation few days are remarkable and little, in a
busy one every fourth is. Two people are always there: Gerrard of sales, who travels, and Joe of marketing, who hardly
does anything. The same seed gives the same days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

FEATURES = ("working hours", "new machine", "new city", "amount sent", "failed sign-ins", "remote access")
GROUPS = {"new city": "place", "remote access": "place"}  # both say: from somewhere else
DEPARTMENTS = ("sales", "marketing", "engineering", "support", "accounting")
GERRARD, JOE = "gerrard", "joe"


@dataclass(frozen=True, slots=True)
class Habit:
    """How often a day of one person is remarkable, and how much: the mean of its value, in full-score features."""

    share: float
    mean: float


QUIET, BUSY = Habit(0.03, 0.4), Habit(0.25, 2.5)
HABITS = {"quiet": QUIET, "busy": BUSY}


@dataclass(frozen=True, slots=True)
class Told:
    """What a behaviour model said of one person: second of the day, score 0 to 100 and above."""

    entity: str
    department: str
    feature: str
    second: int
    score: float


def people(number: int) -> list[tuple[str, str]]:
    """Return names and departments; Gerrard and Joe come first."""
    others = [(f"user-{index:04}", DEPARTMENTS[index % len(DEPARTMENTS)]) for index in range(1, number - 1)]
    return [(GERRARD, "sales"), (JOE, "marketing"), *others][:number]


def day(habit: Habit, number: int, ordinal: int, seed: int = 1) -> Iterator[Told]:
    """Yield what is said of `number` people on one day, a number of days since any beginning."""
    random = np.random.default_rng((seed, ordinal))
    active = random.random(number) < habit.share
    values = random.exponential(habit.mean, number)
    for index, (name, department) in enumerate(people(number)):
        value = _own(name, ordinal, random)
        if value is None:
            value = float(values[index]) if active[index] else 0.0
        if value > 0:
            yield from _told(name, department, value, random)


def _own(name: str, ordinal: int, random: Any) -> float | None:
    """Return the value of those whose habit is their own: Gerrard travels every sixth day, Joe is idle."""
    if name == GERRARD:
        return float(random.uniform(1.1, 6.1)) if ordinal % 6 == 0 else 0.0
    if name == JOE:
        return 0.1 if ordinal % 13 == 0 else 0.0
    return None


def _told(name: str, department: str, value: float, random: Any) -> Iterator[Told]:
    """Spread a value over features that are summed, each far enough from full that its score is an ordinary one."""
    independent = [feature for feature in FEATURES if feature != "remote access"]  # one of the group "place"
    parts = min(int(value) + 1, len(independent))
    for feature in random.choice(independent, size=parts, replace=False).tolist():
        yield Told(name, department, feature, int(random.integers(7 * 3600, 20 * 3600)), score_of(value / parts))


def score_of(part: float) -> float:
    """Return the risk score that counts as `part` of a full-score feature of weight 1; above 100 it is damped."""
    return float(100 * (part if part <= 1 else part**2.5))
