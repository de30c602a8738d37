"""Coverage of the reference set: counted by the clock, because counting a million rows has no place in a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db.models import Count, Exists, Max, OuterRef, Q
from django.utils import timezone

from detection.coverage import AGES, ANSWERS, NEGATIVE, CoveragePolicy, Held, Thin, thin_spots
from labeling.models import Answer, Coverage, Label, Queue, ReferenceEvent, ReferenceRow
from labeling.services.filters import ItemFilter
from models_registry.models import Detector
from traffic.models import Segment, Sensor

POLICY = CoveragePolicy()
DIMENSIONS = ("sensor", "family", "source", "protocol")
MOST = 500  # names per dimension, those with the most rows
# which queues bring rows of an answer: what a version flags wrongly, and what it is unsure of, is often negative
FILLS = {
    Answer.NEGATIVE.value: (Queue.Kind.UNCERTAIN, Queue.Kind.UNIQUE, Queue.Kind.DISAGREEMENT),
    Answer.POSITIVE.value: (Queue.Kind.MISSED, Queue.Kind.UNIQUE, Queue.Kind.DISAGREEMENT),
}


def count_all() -> int:
    """Count the reference sets that have changed since, or on another day; return how many."""
    return sum(_count_if_changed(detector) for detector in Detector.objects.all())


def _count_if_changed(detector: Detector) -> bool:
    last_row = ReferenceRow.objects.filter(detector=detector).aggregate(last=Max("pk"))["last"] or 0
    last_event = ReferenceEvent.objects.filter(detector=detector).aggregate(last=Max("number"))["last"] or 0
    now = timezone.now()
    before = Coverage.objects.filter(detector=detector).first()
    if before and (before.last_row, before.last_event, before.made_at.date()) == (last_row, last_event, now.date()):
        return False
    rows = ReferenceRow.objects.gating().filter(detector=detector)
    ages, total = _ages(detector, now.date())
    Coverage.objects.update_or_create(
        detector=detector,
        defaults={
            "made_at": now,
            "rows": total,
            "last_row": last_row,
            "last_event": last_event,
            "held": {dimension: _held(rows, dimension) for dimension in DIMENSIONS},
            "ages": ages,
            "known": {"sensor": _sensors(detector), "family": _families(detector)},
            "policy": POLICY.to_dict(),
        },
    )
    return True


def _held(rows: Any, dimension: str) -> dict[str, dict[str, list[Any]]]:
    counted = rows.order_by().values_list(dimension, "answer").annotate(n=Count("pk"), newest=Max("day"))
    held: dict[str, dict[str, list[Any]]] = {}
    for name, answer, count, newest in counted.order_by("-n")[: 2 * MOST]:
        held.setdefault(name, {})[answer] = [count, newest.isoformat()]
    return held


def _ages(detector: Detector, today: date) -> tuple[dict[str, list[int]], int]:
    """Return rows by age for each answer, the last bucket without an end, and how many there are in all."""
    edges = [today - timedelta(days=days) for days in AGES]
    buckets = {
        f"b{number}": Count(
            "pk",
            filter=(Q(day__gte=edge) if edge else Q()) & (Q(day__lt=edges[number - 1]) if number else Q()),
        )
        for number, edge in enumerate([*edges, None])
    }
    rows = ReferenceRow.objects.gating().filter(detector=detector)
    ages = {answer: [0] * len(buckets) for answer in ANSWERS}
    for answer, *counts in rows.order_by().values("answer").annotate(**buckets).values_list("answer", *buckets):
        ages[answer] = counts
    return ages, sum(sum(counts) for counts in ages.values())


def _sensors(detector: Detector) -> list[str]:
    sends = Segment.objects.sealed().filter(sensor=OuterRef("pk"), protocol=detector.protocol)
    return list(Sensor.objects.filter(Exists(sends)).order_by("name").values_list("name", flat=True)[:MOST])


def _families(detector: Detector) -> list[str]:
    named = Label.objects.filter(detector=detector, answer=Answer.POSITIVE).exclude(family="")
    return list(named.order_by("family").values_list("family", flat=True).distinct()[:MOST])


@dataclass(frozen=True, slots=True)
class Spot:
    """A thin spot, with the queue that would fill it."""

    thin: Thin
    queue: Queue | None  # None: nothing waits
    narrowed: str  # the part of it that is about the spot, as a query string


@dataclass(frozen=True, slots=True)
class Line:
    """What the set holds of one sensor, family, site or protocol."""

    name: str
    positive: Held | None
    negative: Held | None


@dataclass(frozen=True)
class Report:
    """What a page says of a detector's coverage."""

    coverage: Coverage
    spots: Sequence[Spot]
    thin_families: int
    families: int
    dimensions: dict[str, list[Line]]
    ages: list[tuple[int, int, int, int]]  # from and to in days (to 0: older), positive and negative rows


def report(detector: Detector) -> Report | None:
    """Return the newest count with its thin spots; None before the first one."""
    found = Coverage.objects.filter(detector=detector).first()
    if found is None:
        return None
    held = {
        dimension: {name: {answer: _read(told) for answer, told in answers.items()} for name, answers in names.items()}
        for dimension, names in found.held.items()
    }
    spots = thin_spots(held, found.known, timezone.now().date(), CoveragePolicy(**found.policy))
    queues = {queue.kind: queue for queue in Queue.objects.filter(detector=detector)}
    families = {name for name in {*held["family"], *found.known["family"]} if name}
    edges = [0, *AGES, 0]
    return Report(
        coverage=found,
        spots=[_with_queue(spot, queues) for spot in spots],
        thin_families=sum(spot.dimension == "family" for spot in spots),
        families=len(families),
        dimensions={dimension: _lines(held[dimension]) for dimension in DIMENSIONS},
        ages=[
            (edges[place], edges[place + 1], positive, negative)
            for place, (positive, negative) in enumerate(zip(*(found.ages[answer] for answer in ANSWERS), strict=True))
        ],
    )


def _read(told: list[Any]) -> Held:
    return Held(told[0], date.fromisoformat(told[1]))


def _lines(counts: dict[str, dict[str, Held]]) -> list[Line]:
    return [Line(name, answers.get("positive"), answers.get(NEGATIVE)) for name, answers in sorted(counts.items())]


def _with_queue(thin: Thin, queues: dict[str, Queue]) -> Spot:
    """Name the first queue in which something waits that would fill the spot, narrowed to it where it can be."""
    queue = next((queues[kind] for kind in FILLS[thin.answer] if kind in queues and queues[kind].waiting), None)
    sensor, source = (thin.name if thin.dimension == name else "" for name in ("sensor", "source"))
    return Spot(thin, queue, ItemFilter(sensor=sensor, source=source).query)
