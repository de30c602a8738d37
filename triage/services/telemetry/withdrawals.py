"""Days that a correction took back: what no hour of a customer's day names any more was not counted there.

Such a day is missing, which is no day of zeros: its periods go, and the streams are stepped anew from there, with what
was in force (specification, section 2)."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Max, Min

from triage.models import DivergenceDay, Stream, StreamDay, TelemetryDay
from triage.services.telemetry import states


def withdraw() -> int:
    """Take back the days that are left with no window; return how many."""
    left = list(TelemetryDay.objects.filter(windows=0, stepped_at=None).select_related("version").order_by("day", "pk"))
    for record in left:
        _withdraw(record)
    return len(left)


@transaction.atomic
def _withdraw(record: TelemetryDay) -> None:
    record.delete()
    fleets = Stream.objects.filter(customer=None, version=record.version_id, last_day__gte=record.day)
    for fleet in fleets:
        Stream.objects.filter(pk=fleet.pk).update(replay_from=min(fleet.replay_from or record.day, record.day))
    if not TelemetryDay.objects.filter(version=record.version_id, day=record.day).exists():
        _shorten(fleets, record)
    _shorten(Stream.objects.filter(customer=record.customer_id, version=record.version_id), record)
    later = TelemetryDay.objects.filter(customer=record.customer_id, version=record.version_id, day__gt=record.day)
    later.update(stepped_at=None)
    periods = StreamDay.objects.filter(
        stream__detector=record.version.detector_id, stream__customer__isnull=False, day=record.day
    )
    closed = DivergenceDay.objects.filter(detector=record.version.detector_id, day=record.day)
    closed.update(**states.totals(periods))


def _shorten(streams: Iterable[Stream], record: TelemetryDay) -> None:
    """Take the period of a day out of streams; one that has no other has never begun, unless people dealt with it."""
    for stream in streams:
        StreamDay.objects.filter(stream=stream, day=record.day).delete()
        ends = stream.days.aggregate(first=Min("day"), last=Max("day"))
        if ends["last"] is None and not stream.incidents.exists() and not stream.restarts.exists():
            stream.delete()
            continue
        if stream.first_day == record.day and ends["first"]:
            stream.first_day = ends["first"]
        stream.last_day = ends["last"]
        stream.is_silent = _is_silent(stream)
        stream.save(update_fields=["first_day", "last_day", "is_silent"])


def _is_silent(stream: Stream) -> bool:
    """Whether nobody heard the version on the stream's newest day."""
    if stream.last_day is None:
        return stream.is_silent
    told = TelemetryDay.objects.filter(version=stream.version_id, day=stream.last_day)
    if stream.customer_id is not None:
        told = told.filter(customer=stream.customer_id)
    return not told.filter(is_silent=False).exists()
