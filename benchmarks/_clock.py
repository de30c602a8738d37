"""Two clocks at once: the wall's, which a user waits by, and the processor's, which other work disturbs less."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds that something took."""

    wall: float
    cpu: float


def took(work: Callable[[], Any]) -> Took:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def ratios(rounds: Sequence[tuple[Took, Took]]) -> tuple[float, float]:
    """Return by how much the first of each pair is faster, by the wall and by the processor; medians."""
    return (
        statistics.median(theirs.wall / ours.wall for ours, theirs in rounds),
        statistics.median(theirs.cpu / ours.cpu for ours, theirs in rounds),
    )
