"""When things happen: curves over the hours of a week, by kind of life. The mean over a working day is 1."""

from __future__ import annotations

import math
import random

from traffic.simulator.vocabulary import Rhythm

_WEEKEND = {Rhythm.OFFICE: 0.08, Rhythm.PUBLIC: 1.1, Rhythm.MACHINES: 1.0, Rhythm.NIGHT: 0.8}
_DAY: dict[Rhythm, tuple[float, ...]] = {
    Rhythm.OFFICE: (1, 1, 1, 1, 1, 1, 3, 10, 40, 80, 95, 100, 85, 60, 90, 95, 90, 75, 40, 20, 10, 6, 3, 2),
    Rhythm.PUBLIC: (20, 12, 8, 6, 6, 8, 14, 25, 35, 42, 48, 50, 52, 50, 48, 48, 52, 60, 72, 88, 100, 95, 70, 40),
    Rhythm.MACHINES: (1,) * 24,
    Rhythm.NIGHT: (40, 70, 95, 100, 95, 70, 40, 35, 60, 50, 30, 25, 25, 25, 25, 22, 20, 20, 20, 20, 20, 22, 26, 32),
}


def weight_at(rhythm: Rhythm, hour_of_week: int) -> float:
    """Return how much happens in an hour of the local week, Monday first."""
    day, hour = divmod(hour_of_week, 24)
    curve = _DAY[rhythm]
    return curve[hour] * 24 / sum(curve) * (_WEEKEND[rhythm] if day >= 5 else 1.0)


def poisson(rng: random.Random, mean: float) -> int:
    """Return how often something happens that happens `mean` times on average (Knuth; by halves where large)."""
    count = 0
    while mean > 30:
        part = mean / 2 if mean < 60 else 30.0
        count += poisson(rng, part)
        mean -= part
    limit, product = math.exp(-mean), rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count


def one_or_more(rng: random.Random, mean: float) -> int:
    """Return a whole number from 1 on, geometric, of this mean."""
    if mean <= 1:
        return 1
    return 1 + min(200, int(rng.expovariate(math.log1p(1 / (mean - 1)))))
