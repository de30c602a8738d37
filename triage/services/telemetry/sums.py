"""Days of customers, summed from the hours of all their sites.

An hour that came for the first time is added to its day, so that a night costs what came and not what came before.
A day in which an hour was told twice is summed anew from all its hours; what none of them names any more is left with
no window, for triage.services.telemetry.withdrawals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from datetime import date
from itertools import chain
from typing import Any

from django.db import transaction
from django.utils import timezone

from models_registry.models import Version
from triage.models import PairDay, ScoreDay, TelemetryDay, TelemetryWindow
from triage.services.telemetry import bulk
from triage.services.telemetry.intake import CELLS, PAIR_CELLS
from triage.services.telemetry.score_days import ScoreSums

BATCH = 200  # customers' days of one transaction: intake waits no longer for it
_TOLD = (*CELLS, "scanned")
_COUNTED = (*_TOLD, "windows")
_DAY, _PAIR = ("customer", "version", "day"), ("customer", "a", "b", "day")  # what a row is about
_READ = ("id", "customer", "day", "message", "replaced_at", "appliance__site")
DayKey = tuple[int, int, date]  # customer, version
PairKey = tuple[int, int, int, date]  # customer, a, b


def sum_waiting() -> int:
    """Sum the days of customers whose hours have come; return how many days changed.

    A killed run leaves the rest to the next: an hour leaves the mailbox with the sum that holds it."""
    waiting = TelemetryWindow.objects.filter(summed_at=None).order_by("day", "customer")
    days = list(waiting.values_list("day", "customer").distinct())
    return sum(_sum(days[start : start + BATCH]) for start in range(0, len(days), BATCH))


@transaction.atomic
def _sum(days: list[tuple[date, int]]) -> int:
    by_day: dict[date, list[int]] = defaultdict(list)
    for day, customer in days:
        by_day[day].append(customer)
    sums, seen = _Sums(), []
    for day, customers in by_day.items():
        of_day = (
            TelemetryWindow.objects.filter(day=day, customer__in=customers).select_related("appliance").only(*_READ)
        )
        waiting = list(of_day.filter(summed_at=None))
        # asked after them: who replaces an hour says so in the same transaction, so that none of these is missed here
        again = set(of_day.filter(replaced_at__isnull=False).values_list("customer", flat=True))
        sums.go_on(day, set(customers) - again)
        sums.begin_anew(day, again)
        fresh = (window for window in waiting if window.customer_id not in again)
        for window in chain(fresh, of_day.filter(customer__in=again).iterator(2_000) if again else ()):
            seen.append(window.pk)
            if window.replaced_at is None:
                sums.add(window)
    sums.write()
    for some in _chunks(seen):
        TelemetryWindow.objects.filter(pk__in=some, summed_at=None).update(summed_at=timezone.now())
    return len(days)


def _chunks(keys: list[int], size: int = 900) -> Iterable[list[int]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


class _Sums:
    """Days and pairs of days as they grow."""

    def __init__(self) -> None:
        self.versions = _Versions()
        self.cells: dict[DayKey, Counter[str]] = defaultdict(Counter)
        self.loud: set[DayKey] = set()
        self.pairs: dict[PairKey, Counter[str]] = defaultdict(Counter)
        self.scores = ScoreSums()

    def go_on(self, day: date, customers: Iterable[int]) -> None:
        """Begin with what was summed of a day before."""
        of = list(customers)
        days = TelemetryDay.objects.filter(day=day, customer__in=of).order_by()
        for line in days.values_list("customer", "version", "is_silent", *_COUNTED).iterator(2_000):
            key = (line[0], line[1], day)
            self.cells[key].update(dict(zip(_COUNTED, line[3:], strict=True)))
            if not line[2]:
                self.loud.add(key)
        pairs = PairDay.objects.filter(day=day, customer__in=of).order_by()
        for line in pairs.values_list("customer", "a", "b", *PAIR_CELLS).iterator(2_000):
            self.pairs[line[0], line[1], line[2], day].update(dict(zip(PAIR_CELLS, line[3:], strict=True)))
        self.scores.go_on(day, of)

    def begin_anew(self, day: date, customers: Collection[int]) -> None:
        """Begin with nothing, also of what was summed of a day before and is named no more."""
        if not customers:
            return
        before = TelemetryDay.objects.filter(day=day, customer__in=customers).order_by()
        for customer, version in before.values_list("customer", "version"):
            self.cells[customer, version, day].update(dict.fromkeys(_COUNTED, 0))
        PairDay.objects.filter(day=day, customer__in=customers).delete()
        ScoreDay.objects.filter(day=day, site__customer__in=customers).delete()

    def add(self, window: TelemetryWindow) -> None:
        body = window.told["body"]
        for model in body["models"]:
            key = (window.customer_id, self.versions.of(model["model"]), window.day)
            counts = self.cells[key]
            for name in _TOLD:
                counts[name] += model[name]
            counts["windows"] += 1
            self.scores.add(window, key[1], model)
            if not model["is_silent"]:
                self.loud.add(key)
        for pair in body["pairs"]:
            _add_pair(self.pairs, window, self.versions, pair)

    def write(self) -> None:
        _write(self.cells, self.loud, self.pairs)
        self.scores.write()


def _add_pair(
    pairs: dict[PairKey, Counter[str]],
    window: TelemetryWindow,
    versions: _Versions,
    pair: dict[str, Any],
) -> None:
    a, b = versions.of(pair["a"]), versions.of(pair["b"])
    only = ("only_a", "only_b")
    if a > b:  # one row for both ways of telling it
        a, b, only = b, a, ("only_b", "only_a")
    counts = pairs[window.customer_id, a, b, window.day]
    counts.update({"both": pair["both"], "neither": pair["neither"], "only_a": pair[only[0]], "only_b": pair[only[1]]})


class _Versions:
    """Primary keys of versions by the names that appliances use."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, name: str) -> int:
        if name not in self._known:
            self._known[name] = Version.objects.named(name)[name].pk
        return self._known[name]


def _write(
    cells: dict[DayKey, Counter[str]],
    loud: set[DayKey],
    pairs: dict[PairKey, Counter[str]],
) -> None:
    bulk.upsert(
        TelemetryDay,
        (*_DAY, *_COUNTED, "is_silent", "stepped_at"),
        _DAY,
        ((*key, *(counts[name] for name in _COUNTED), key not in loud, None) for key, counts in sorted(cells.items())),
    )
    bulk.upsert(
        PairDay,
        (*_PAIR, *PAIR_CELLS),
        _PAIR,
        ((*key, *(counts[name] for name in PAIR_CELLS)) for key, counts in sorted(pairs.items())),
    )
