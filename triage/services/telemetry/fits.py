"""Priors and precisions of streams: fitted when learning ends, the precision again every week, from rows of periods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import numpy as np
from django.db.models import Count, Exists, FloatField, OuterRef, Q, QuerySet, Sum, Window
from django.db.models.functions import Cast, Coalesce, RowNumber

from detection.divergence import POLICY, Sums, fit_phi_of_sums, fit_prior
from models_registry.models import Detector
from triage.models import PrecisionFit, Stream, StreamDay, StreamRestart

UNKNOWN = fit_prior([], [])  # before anything is known
LATEST = 56  # periods of a refit
OWN = 28  # periods from which a stream's own precision counts
LONGEST = timedelta(days=126)  # older periods are never among the latest
Summed = tuple[list[int], int, Sums]  # streams, periods of all of them, and what the fit needs of each


def prior(detector: Detector, kind: str, before: date) -> tuple[float, float]:
    """Return the fleet's prior, from what each customer's learning periods add up to."""
    rows = _learning(detector, kind, before).values("stream__customer").order_by()
    totals = list(rows.annotate(sum_x=Sum("x"), sum_n=Sum("n")).values_list("sum_x", "sum_n"))
    return fit_prior([x for x, _n in totals], [n for _x, n in totals])


def first_phi(
    detector: Detector, kind: str, before: date, given: tuple[float, float]
) -> tuple[float, dict[int, float]]:
    """Return the fleet's precision from learning periods, and that of each stream which has enough of its own."""
    return _phis(_summed(_learning(detector, kind, before)), {}, given)


def sunday_before(day: date) -> date:
    """Return the day of the refit that is in force on a day."""
    return day - timedelta(days=day.isoweekday())


def refit(detector: Detector, kind: str, sunday: date) -> PrecisionFit:
    """Fit precisions anew from the latest periods of every stream that showed no divergence, and put them in force."""
    streams = list(
        Stream.objects.filter(detector=detector, kind=kind, is_fitted=True, customer__isnull=False).order_by("pk")
    )
    fleet, own, periods = _refitted(streams, sunday)
    for one in streams:
        one.phi = min(fleet, own.get(one.pk, fleet))
    put(streams, ["phi"])
    return PrecisionFit.objects.create(
        detector=detector,
        kind=kind,
        day=sunday,
        phi=fleet,
        streams=len(streams),
        periods=periods,
        own=sum(1 for value in own.values() if value < fleet),
    )


def put(streams: Sequence[Stream], fields: Sequence[str]) -> None:
    """Write what was fitted of streams that are there."""
    Stream.objects.bulk_create(
        streams, batch_size=1_000, update_conflicts=True, unique_fields=["id"], update_fields=fields
    )


def refit_fleet(stream: Stream, sunday: date) -> None:
    """Fit the precision of a fleet's stream anew, from its own latest periods."""
    stream.phi, stream.refit_on = _refitted([stream], sunday)[0], sunday
    stream.save(update_fields=["phi", "refit_on"])


def _refitted(streams: Sequence[Stream], sunday: date) -> tuple[float, dict[int, float], int]:
    rows = StreamDay.objects.filter(statistic__lt=POLICY.freeze_at, day__lte=sunday, day__gt=sunday - LONGEST)
    if len(streams) <= 1:
        rows = rows.filter(stream__in=streams)
    else:
        one = streams[0]
        rows = rows.filter(
            stream__detector=one.detector_id,
            stream__kind=one.kind,
            stream__customer__isnull=False,
            stream__is_fitted=True,
        )
    place = Window(RowNumber(), partition_by="stream", order_by="-day")
    latest = rows.annotate(place=place).filter(place__lte=LATEST).values("pk")
    summed = _summed(StreamDay.objects.filter(pk__in=latest))
    fleet, own = _phis(summed, {one.pk: (one.a0, one.b0) for one in streams})
    return fleet, own, summed[1]


def _learning(detector: Detector, kind: str, before: date) -> QuerySet[StreamDay]:
    """Return the learning periods of all customers; those before a stream began anew count no more."""
    rows = StreamDay.objects.filter(
        stream__detector=detector, stream__kind=kind, stream__customer__isnull=False, is_learning=True, day__lt=before
    )
    anew = StreamRestart.objects.filter(stream=OuterRef("stream"), reference=True, after__gte=OuterRef("day"))
    return rows.filter(~Exists(anew))


def _summed(rows: QuerySet[StreamDay]) -> Summed:
    """Sum periods in the database, a line for each stream."""
    x, n = Cast("x", FloatField()), Cast("n", FloatField())
    used = Q(n__gte=2)
    columns = {"x": x, "n": n, "xx": x * x, "xn": x * n, "nn": n * n}
    told = rows.order_by().values("stream_id").annotate(
        all=Count("pk"),
        periods=Count("pk", filter=used),
        **{f"sum_{name}": Coalesce(Sum(one, filter=used), 0.0) for name, one in columns.items()},
    )  # fmt: skip
    lines = told.order_by("stream_id").values_list("stream_id", "all", "periods", *(f"sum_{name}" for name in columns))
    table = np.array(list(lines), float).reshape(-1, 3 + len(columns)).T
    return table[0].astype(int).tolist(), int(table[1].sum()), Sums(*table[2:])


def _phis(
    summed: Summed, priors: Mapping[int, tuple[float, float]], otherwise: tuple[float, float] = UNKNOWN
) -> tuple[float, dict[int, float]]:
    """Return the fleet's precision, and that of each stream which has enough periods of its own."""
    streams, _periods, sums = summed
    a0, b0 = np.array([priors.get(pk, otherwise) for pk in streams], float).reshape(-1, 2).T
    fleet, own = fit_phi_of_sums(sums, a0, b0)
    enough = sums.periods >= OWN
    return fleet, {pk: value for pk, value, is_known in zip(streams, own.tolist(), enough, strict=True) if is_known}
