"""Priors and precisions of streams: fitted when learning ends, the precision again every week, from rows of periods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from django.db.models import QuerySet, Sum

from detection.divergence import POLICY, fit_phi, fit_phi_of_each, fit_prior, mean_over
from models_registry.models import Detector
from triage.models import PrecisionFit, Stream, StreamDay, StreamRestart

UNKNOWN = fit_prior([], [])  # before anything is known
LATEST = 56  # periods of a refit
OWN = 28  # periods from which a stream's own precision counts
LONGEST = timedelta(days=4 * LATEST)  # older periods are never among the latest


@dataclass(frozen=True, slots=True)
class Periods:
    """Periods of several streams, as arrays; `of` says at which place of `streams` each one's stream stands."""

    streams: tuple[int, ...]
    of: Any
    x: Any
    n: Any


def prior(detector: Detector, kind: str, before: date) -> tuple[float, float]:
    """Return the fleet's prior, from what each customer's learning periods add up to."""
    rows = _learning(detector, kind, before).values("stream__customer").order_by()
    totals = list(rows.annotate(sum_x=Sum("x"), sum_n=Sum("n")).values_list("sum_x", "sum_n"))
    return fit_prior([x for x, _n in totals], [n for _x, n in totals])


def first_phi(
    detector: Detector, kind: str, before: date, given: tuple[float, float]
) -> tuple[float, dict[int, float]]:
    """Return the fleet's precision from learning periods, and that of each stream which has enough of its own."""
    periods = _periods(_learning(detector, kind, before).order_by("stream_id", "day"))
    size = len(periods.streams)
    return _phis(periods, np.full(size, given[0]), np.full(size, given[1]))


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
    Stream.objects.bulk_update(streams, ["phi"], batch_size=500)
    return PrecisionFit.objects.create(
        detector=detector,
        kind=kind,
        day=sunday,
        phi=fleet,
        streams=len(streams),
        periods=periods,
        own=sum(1 for value in own.values() if value < fleet),
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
    periods = _latest(_periods(rows.order_by("stream_id", "-day")), LATEST)
    known = {one.pk: one for one in streams}
    a0 = np.array([known[pk].a0 for pk in periods.streams], float)
    b0 = np.array([known[pk].b0 for pk in periods.streams], float)
    fleet, own = _phis(periods, a0, b0)
    return fleet, own, len(periods.x)


def _learning(detector: Detector, kind: str, before: date) -> QuerySet[StreamDay]:
    """Return the learning periods of all customers; those before a stream began anew count no more."""
    rows = StreamDay.objects.filter(
        stream__detector=detector, stream__kind=kind, stream__customer__isnull=False, is_learning=True, day__lt=before
    )
    restarts = StreamRestart.objects.filter(stream__detector=detector, stream__kind=kind, reference=True)
    for stream, after in restarts.values_list("stream", "after"):
        rows = rows.exclude(stream=stream, day__lte=after)
    return rows


def _periods(rows: QuerySet[StreamDay]) -> Periods:
    columns = list(zip(*rows.values_list("stream_id", "x", "n").iterator(20_000), strict=True)) or [(), (), ()]
    streams, of = np.unique(np.array(columns[0], np.int64), return_inverse=True)
    return Periods(tuple(streams.tolist()), of, np.array(columns[1], float), np.array(columns[2], float))


def _latest(periods: Periods, most: int) -> Periods:
    """Return the first so many periods of each stream; they come grouped by stream, newest first."""
    first = np.searchsorted(periods.of, np.arange(len(periods.streams)))
    place = np.arange(len(periods.of)) - first[periods.of] if len(periods.of) else periods.of
    kept = place < most
    return Periods(periods.streams, periods.of[kept], periods.x[kept], periods.n[kept])


def _phis(periods: Periods, a0: Any, b0: Any) -> tuple[float, dict[int, float]]:
    size, used = len(periods.streams), periods.n >= 2
    of, x, n = periods.of[used], periods.x[used], periods.n[used]
    mu = mean_over(a0, b0, np.bincount(of, x, size), np.bincount(of, n, size))
    fleet = fit_phi(x, n, mu[of])
    own = fit_phi_of_each(of, x, n, mu, size)
    enough = np.bincount(of, minlength=size) >= OWN
    return fleet, {stream: float(own[at]) for at, stream in enumerate(periods.streams) if enough[at]}
