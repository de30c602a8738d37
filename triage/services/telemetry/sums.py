"""Days of customers, summed from the hours of all their sites: whenever an hour came, its day is summed anew."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Any

from django.db import transaction
from django.utils import timezone

from models_registry.models import Version
from triage.models import PairDay, TelemetryDay, TelemetryWindow
from triage.services.telemetry.intake import CELLS, PAIR_CELLS

BATCH = 200  # customers' days of one transaction: intake waits no longer for it
_DAY_FIELDS = (*CELLS, "scanned", "is_silent", "windows", "stepped_at")


def sum_waiting() -> int:
    """Sum the days of customers whose hours have come; return how many days changed.

    A killed run leaves the rest to the next: an hour leaves the mailbox with the sum that holds it."""
    waiting = TelemetryWindow.objects.filter(summed_at=None).order_by("day", "customer")
    days = list(waiting.values_list("day", "customer").distinct())
    return sum(_sum(days[start : start + BATCH]) for start in range(0, len(days), BATCH))


@transaction.atomic
def _sum(days: list[tuple[date, int]]) -> int:
    versions = _Versions()
    cells: dict[tuple[int, int, date], Counter[str]] = defaultdict(Counter)
    loud: set[tuple[int, int, date]] = set()
    pairs: dict[tuple[int, int, int, date], Counter[str]] = defaultdict(Counter)
    seen = []
    for window in _windows(days):
        seen.append(window.pk)
        if window.replaced_at is not None:
            continue
        body = window.told["body"]
        for model in body["models"]:
            key = (window.customer_id, versions.of(model["model"]), window.day)
            cells[key].update({name: model[name] for name in (*CELLS, "scanned")})
            cells[key]["windows"] += 1
            if not model["is_silent"]:
                loud.add(key)
        for pair in body["pairs"]:
            _add_pair(pairs, window, versions, pair)
    _write(cells, loud, pairs)
    TelemetryWindow.objects.filter(pk__in=seen, summed_at=None).update(summed_at=timezone.now())
    return len(days)


def _windows(days: list[tuple[date, int]]) -> Iterable[TelemetryWindow]:
    by_day: dict[date, list[int]] = defaultdict(list)
    for day, customer in days:
        by_day[day].append(customer)
    for day, customers in by_day.items():
        yield from TelemetryWindow.objects.filter(day=day, customer__in=customers).order_by("id").iterator(2_000)


def _add_pair(
    pairs: dict[tuple[int, int, int, date], Counter[str]],
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
            detector, _colon, number = name.rpartition(":")
            self._known[name] = Version.objects.values_list("pk", flat=True).get(
                detector__name=detector, number=int(number)
            )
        return self._known[name]


def _write(
    cells: dict[tuple[int, int, date], Counter[str]],
    loud: set[tuple[int, int, date]],
    pairs: dict[tuple[int, int, int, date], Counter[str]],
) -> None:
    days = [
        TelemetryDay(
            customer_id=key[0],
            version_id=key[1],
            day=key[2],
            is_silent=key not in loud,
            stepped_at=None,
            **{name: counts[name] for name in (*CELLS, "scanned", "windows")},
        )
        for key, counts in sorted(cells.items())
    ]
    TelemetryDay.objects.bulk_create(
        days,
        batch_size=1_000,
        update_conflicts=True,
        unique_fields=["customer", "version", "day"],
        update_fields=_DAY_FIELDS,
    )
    PairDay.objects.bulk_create(
        [
            PairDay(
                customer_id=key[0],
                a_id=key[1],
                b_id=key[2],
                day=key[3],
                **{name: counts[name] for name in PAIR_CELLS},
            )
            for key, counts in sorted(pairs.items())
        ],
        batch_size=1_000,
        update_conflicts=True,
        unique_fields=["customer", "a", "b", "day"],
        update_fields=PAIR_CELLS,
    )
