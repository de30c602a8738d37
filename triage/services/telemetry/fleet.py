"""The fleet above its customers: a stream of its own for each version, and one incident where several customers agree.

No customer counts for more than a tenth of the usual volume there. That volume is known when learning ends; then the
learning periods are stepped anew with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import F, QuerySet

from detection.divergence import POLICY, fit_phi, fit_prior, fleet_counts, mean_over
from models_registry.models import Detector
from triage.models import DivergenceDay, Stream, StreamDay, StreamRestart, TelemetryDay
from triage.services import incidents
from triage.services.telemetry import fits, rates, states
from triage.services.telemetry.states import KINDS

LEAST = 3  # customers
LEAST_SHARE = 0.1  # of the customers on the version
WITHIN = timedelta(days=7)


def waiting() -> QuerySet[Stream]:
    """Fleet streams with days to step."""
    return Stream.objects.filter(customer=None, replay_from__isnull=False)


def note(detector: Detector, versions: Iterable[int], day: date) -> None:
    """Leave a day to the streams of the fleet, which exist from the third customer on."""
    for version in sorted(set(versions)):
        days = TelemetryDay.objects.filter(version=version)
        loud = days.filter(day=day, is_silent=False).exists()
        found = list(Stream.objects.filter(customer=None, version=version))
        if not found and days.order_by().values("customer").distinct()[:LEAST].count() >= LEAST:
            first = days.order_by("day").values_list("day", flat=True)[0]
            a0, b0 = fits.UNKNOWN
            older = Stream.objects.filter(customer=None, detector=detector, is_fitted=True)
            learning = POLICY.learning_of_versions if older.exists() else POLICY.learning
            found = [
                Stream(
                    version_id=version,
                    detector=detector,
                    kind=kind,
                    first_day=first,
                    learning=learning,
                    a0=a0,
                    b0=b0,
                    phi=POLICY.phi_unknown,
                    replay_from=first,
                )
                for kind in KINDS
            ]
            found = Stream.objects.bulk_create(found)
        for stream in found:
            begin = min(stream.replay_from or day, day)
            silent = stream.is_silent if stream.last_day and stream.last_day > day else not loud
            Stream.objects.filter(pk=stream.pk).update(replay_from=begin, is_silent=silent)


def advance(detector: Detector, until: date) -> int:
    """Step the fleet's streams of a detector; return how many periods were written."""
    return sum(_advance(stream, until) for stream in waiting().filter(detector=detector).order_by("pk"))


def _advance(stream: Stream, until: date) -> int:
    written = 0
    restarts = list(stream.restarts.all())
    while stream.replay_from is not None:
        days = TelemetryDay.objects.filter(version=stream.version_id, day__gte=stream.replay_from, day__lte=until)
        day = days.order_by("day").values_list("day", flat=True).first()
        with transaction.atomic():
            if day is None:
                _leave(stream, None)
            elif not _fit(stream, restarts, day):
                _refit(stream, day)
                _step(stream, restarts, day)
                written += 1
                _leave(stream, day + timedelta(days=1))
    return written


def _refit(stream: Stream, day: date) -> None:
    """Fit the precision anew with the first day after a Sunday; a replay works with what was in force."""
    sunday = fits.sunday_before(day)
    is_new = stream.last_day is None or day > stream.last_day
    if stream.is_fitted and is_new and (stream.refit_on is None or stream.refit_on < sunday):
        fits.refit_fleet(stream, sunday)


def _leave(stream: Stream, begin: date | None) -> None:
    """Say from which day on a stream waits."""
    stream.replay_from = begin
    Stream.objects.filter(pk=stream.pk).update(replay_from=begin)


def _counts(stream: Stream, first: date, until: date) -> dict[date, tuple[Any, Any]]:
    """Return successes and trials of every customer, by day."""
    rows = TelemetryDay.objects.filter(version=stream.version_id, day__gte=first, day__lte=until)
    found: dict[date, list[tuple[int, int, int]]] = defaultdict(list)
    for day, *cells in rows.order_by("day", "pk").values_list("day", "model_only", "heuristic_only", "both"):
        found[day].append((cells[0], cells[1], cells[2]))
    return {day: states.successes_and_trials(stream.kind, *np.array(cells).T) for day, cells in found.items()}


def _fit(stream: Stream, restarts: list[StreamRestart], day: date) -> bool:
    """When learning has ended: volume, prior and precision, and the learning periods anew. Say whether it had."""
    if not _head(stream, restarts, day).has_learnt(stream):
        return False
    anew = [one.after for one in restarts if one.reference]
    first = max(anew) + timedelta(days=1) if anew else stream.first_day
    counts = _counts(stream, first, day - timedelta(days=1))
    stream.volume = float(np.mean([n.sum() for _x, n in counts.values()]))
    pairs = [fleet_counts(x, n, stream.volume) for x, n in counts.values()]
    x, n = np.array([x for x, _n in pairs], float), np.array([n for _x, n in pairs], float)
    stream.a0, stream.b0 = fit_prior([x.sum()], [n.sum()])
    stream.phi = fit_phi(x, n, np.full(len(x), mean_over(stream.a0, stream.b0, x.sum(), n.sum())))
    stream.is_fitted, stream.replay_from = True, first
    stream.save(update_fields=["volume", "a0", "b0", "phi", "is_fitted", "replay_from"])
    StreamDay.objects.filter(stream=stream, day__gte=first).delete()
    return True


def _head(stream: Stream, restarts: list[StreamRestart], day: date) -> states.Head:
    return states.head(StreamDay.objects.filter(stream=stream, day__lt=day).order_by("-day").first(), restarts, day)


def _step(stream: Stream, restarts: list[StreamRestart], day: date) -> None:
    all_x, all_n = _counts(stream, day, day)[day]
    pair = fleet_counts(all_x, all_n, stream.volume) if stream.volume else (int(all_x.sum()), int(all_n.sum()))
    x, n = (np.array([one], np.int64) for one in pair)
    old = {row.stream_id: row for row in StreamDay.objects.filter(stream=stream, day=day)}
    frozen = incidents.frozen([stream.pk], day)
    night = rates.night_of(stream.detector, day)
    [row] = states.stepped([stream], [_head(stream, restarts, day)], old, day, x, n, frozen, night.needed)
    for one in old.values():
        one.delete()
    row.save(force_insert=True)
    stream.last_day = max(stream.last_day or day, day)
    Stream.objects.filter(pk=stream.pk).update(last_day=stream.last_day)
    if row.is_alarm and not stream.is_silent and incidents.hear(row, night):
        DivergenceDay.objects.filter(pk=night.pk).update(opened=F("opened") + 1)


# --- several customers at once -------------------------------------------------------------------------------------


def look(detector: Detector, versions: Iterable[int], day: date, night: DivergenceDay) -> int:
    """Open one incident of the fleet where enough customers alarm in one direction; return how many are new."""
    alarms = StreamDay.objects.filter(
        is_alarm=True,
        day__gt=day - WITHIN,
        day__lte=day,
        stream__detector=detector,
        stream__customer__isnull=False,
        stream__is_silent=False,
        stream__version__in=set(versions),
    ).select_related("stream")
    found: dict[tuple[int, str, bool], dict[int, StreamDay]] = defaultdict(dict)
    for row in alarms.order_by("day"):
        key = (row.stream.version_id, row.stream.kind, row.is_up)
        found[key][row.stream.customer_id or 0] = row  # the newest of each customer
    return sum(_together(key, list(rows.values()), day, night) for key, rows in sorted(found.items()))


def _together(key: tuple[int, str, bool], rows: list[StreamDay], day: date, night: DivergenceDay) -> bool:
    version, kind, is_up = key
    closed = incidents.closed_of_fleet(version, kind, is_up)
    rows = [row for row in rows if closed is None or row.day > closed]
    on_version = TelemetryDay.objects.filter(version=version, day__gt=day - WITHIN, day__lte=day)
    customers = on_version.order_by().values("customer").distinct().count()
    if len(rows) < LEAST or len(rows) < LEAST_SHARE * customers or not any(row.day == day for row in rows):
        return False
    return incidents.together(rows, day, night)
