"""Days of streams: each closed UTC day is one period of every stream that was heard of, in the order of days.

One way for all: a new day, hours that came late and a corrected count each leave a day of a customer in the mailbox;
its streams are stepped from that day on, with the prior, precision and A that were in force. The state before a day is
the row of the period before it, so a killed run and a run in one go end in the same rows."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from typing import Any

import numpy as np
import structlog
from django.db import transaction
from django.db.models import F, Min, Q
from django.utils import timezone

from detection.divergence import POLICY, mean_over, prior_of_version
from models_registry.models import Detector
from triage.models import DivergenceDay, PrecisionFit, Stream, StreamDay, StreamRestart, TelemetryDay
from triage.services import incidents
from triage.services.telemetry import bulk, fits, fleet, rates, states, sums, withdrawals
from triage.services.telemetry.states import KINDS, Head

log = structlog.get_logger(__name__)

CLOSES = clock_time(6)  # UTC, of the next day: sites had the time to send
Key = tuple[int, int, str]  # customer, version, kind


def last_closed(now: datetime) -> date:
    """Return the newest day that is closed."""
    today = now.astimezone(UTC)
    return today.date() - timedelta(days=1 if today.time() >= CLOSES else 2)


def close_due(now: datetime | None = None) -> int:
    """Sum what came and step every closed day that waits; return how many periods of streams were written."""
    sums.sum_waiting()
    withdrawals.withdraw()
    until = last_closed(now or timezone.now())
    waiting = TelemetryDay.objects.filter(stepped_at=None, day__lte=until)
    detectors = Detector.objects.filter(
        Q(pk__in=waiting.values("version__detector")) | Q(pk__in=fleet.waiting().values("detector"))
    )
    return sum(advance(detector, until) for detector in detectors.order_by("pk"))


def advance(detector: Detector, until: date) -> int:
    """Step all streams of a detector up to a day."""
    waiting = TelemetryDay.objects.filter(version__detector=detector, stepped_at=None, day__lte=until)
    run = Run(detector)
    run.unroll(waiting, until)
    days = list(waiting.order_by("day").values_list("day", flat=True).distinct())
    written = 0
    for day in days:
        if refit_before(detector, day):
            run.hear_of_fits()
        written += run.close(day)
    written += fleet.advance(detector, until)
    log.info("divergence.advanced", detector=detector.name, until=str(until), days=len(days), periods=written)
    return written


def refit_before(detector: Detector, day: date) -> bool:
    """Make sure that the week before a day has its refit, unless a later one was made; say whether one was due."""
    sunday, due = fits.sunday_before(day), False
    for kind in KINDS:
        newest = PrecisionFit.objects.filter(detector=detector, kind=kind).order_by("-day").first()
        fitted = Stream.objects.filter(detector=detector, kind=kind, is_fitted=True)
        if (newest is None or newest.day < sunday) and fitted.exists():
            with transaction.atomic():
                fits.refit(detector, kind, sunday)
            due = True
    return due


class Run:
    """One pass over a detector's days: what it knows of streams so far."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        found = Stream.objects.filter(detector=detector, customer__isnull=False)
        self.streams: dict[Key, Stream] = {(one.customer_id or 0, one.version_id, one.kind): one for one in found}
        self.versions = dict(detector.versions.values_list("pk", "number"))
        newest = StreamDay.objects.filter(stream__detector=detector, day=F("stream__last_day"))
        self.rows: dict[int, StreamDay] = {row.stream_id: row for row in newest}
        self.restarts: dict[int, list[StreamRestart]] = defaultdict(list)
        for restart in StreamRestart.objects.filter(stream__detector=detector):
            self.restarts[restart.stream_id].append(restart)

    def unroll(self, waiting: Any, until: date) -> None:
        """Put the later days of customers whose past has changed into the mailbox as well."""
        first = waiting.values("customer", "version").annotate(first=Min("day")).order_by()
        for customer, version, day in first.values_list("customer", "version", "first"):
            stream = self.streams.get((customer, version, KINDS[0]))
            if stream is not None and stream.last_day is not None and stream.last_day > day:
                later = TelemetryDay.objects.filter(customer=customer, version=version, day__gt=day, day__lte=until)
                later.update(stepped_at=None)

    @transaction.atomic
    def close(self, day: date) -> int:
        """Step one day: all of it, or nothing."""
        began = time.monotonic()
        records = list(
            TelemetryDay.objects.filter(version__detector=self.detector, day=day, stepped_at=None)
            .select_related("version")
            .order_by("pk")
        )
        self.know(records, day)
        night = rates.night_of(self.detector, day)
        cells = np.array([(one.model_only, one.heuristic_only, one.both) for one in records], np.int64).reshape(-1, 3).T
        rows = []
        for kind in KINDS:
            mine = [self.streams[one.customer_id, one.version_id, kind] for one in records]
            x, n = states.successes_and_trials(kind, *cells)
            rows += self.step(mine, day, x, n, night)
        self.keep(rows, day)
        TelemetryDay.objects.filter(version__detector=self.detector, day=day, stepped_at=None).update(
            stepped_at=timezone.now()
        )
        opened = self.tell(rows, night)
        opened += fleet.look(self.detector, {one.version_id for one in records}, day, night)
        total = StreamDay.objects.filter(stream__detector=self.detector, stream__customer__isnull=False, day=day)
        DivergenceDay.objects.filter(pk=night.pk).update(
            **states.totals(total),
            opened=F("opened") + opened,
            seconds=F("seconds") + round(time.monotonic() - began, 3),
        )
        return len(rows)

    def know(self, records: Sequence[TelemetryDay], day: date) -> None:
        """Make the streams of what is heard of for the first time, and note who is silent now."""
        for record in records:
            for kind in KINDS:
                key = (record.customer_id, record.version_id, kind)
                stream = self.streams.get(key)
                if stream is None:
                    self.streams[key] = self.made(record, kind, day)
                elif stream.is_silent != record.is_silent and (stream.last_day is None or day >= stream.last_day):
                    stream.is_silent = record.is_silent
                    Stream.objects.filter(pk=stream.pk).update(is_silent=record.is_silent)
        new = [one for one in self.streams.values() if one.pk is None]
        Stream.objects.bulk_create(new, batch_size=1_000)
        fleet.note(self.detector, {one.version_id for one in records}, day)

    def made(self, record: TelemetryDay, kind: str, day: date) -> Stream:
        a0, b0 = fits.UNKNOWN
        learning = POLICY.learning
        if (mu := self.before(record, kind)) is not None:
            (a0, b0), learning = prior_of_version(mu), POLICY.learning_of_versions
        return Stream(
            customer_id=record.customer_id,
            version_id=record.version_id,
            detector=self.detector,
            kind=kind,
            is_silent=record.is_silent,
            first_day=day,
            learning=learning,
            a0=a0,
            b0=b0,
            phi=POLICY.phi_unknown,
        )

    def before(self, record: TelemetryDay, kind: str) -> float | None:
        """Return the reference of the version that the customer ran before, if it had learnt one."""
        older = max(
            (
                stream
                for version, number in self.versions.items()
                if number < record.version.number
                and (stream := self.streams.get((record.customer_id, version, kind))) is not None
                and stream.is_fitted
            ),
            key=lambda stream: self.versions[stream.version_id],
            default=None,
        )
        row = self.rows.get(older.pk) if older else None
        return float(mean_over(row.a0, row.b0, row.ref_x, row.ref_n)) if row else None

    def hear_of_fits(self) -> None:
        """Take up precisions that the weekly refit has put in force."""
        phis = dict(Stream.objects.filter(detector=self.detector).values_list("pk", "phi"))
        for stream in self.streams.values():
            stream.phi = phis.get(stream.pk, stream.phi)

    def step(self, streams: Sequence[Stream], day: date, x: Any, n: Any, night: DivergenceDay) -> list[StreamDay]:
        """Return the period of streams, as rows."""
        if not streams:
            return []
        heads = [self.head(one, day) for one in streams]
        self.fit([(one, head) for one, head in zip(streams, heads, strict=True) if head.has_learnt(one)], day)
        frozen = incidents.frozen([one.pk for one in streams], day)
        return states.stepped(streams, heads, self.rows_on(streams, day), day, x, n, frozen, night.needed)

    def head(self, stream: Stream, day: date) -> Head:
        row = self.rows.get(stream.pk)
        if row is not None and row.day >= day:  # the past has changed
            row = StreamDay.objects.filter(stream=stream, day__lt=day).order_by("-day").first()
        return states.head(row, self.restarts[stream.pk], day)

    def rows_on(self, streams: Sequence[Stream], day: date) -> dict[int, StreamDay]:
        """Return what was written of a day before: with what was in force then."""
        if all(one.last_day is None or one.last_day < day for one in streams):
            return {}
        found = StreamDay.objects.filter(stream__detector=self.detector, day=day)
        return {row.stream_id: row for row in found.filter(stream__kind=streams[0].kind)}

    def fit(self, learnt: Sequence[tuple[Stream, Head]], day: date) -> None:
        """Give streams whose learning has ended their prior and their precision."""
        if not learnt:
            return
        kind = learnt[0][0].kind
        prior = fits.prior(self.detector, kind, day)
        phi, own = fits.first_phi(self.detector, kind, day, prior)
        for one, head in learnt:
            if head.learning_of(one) == POLICY.learning:  # a new version has the prior of the one before it
                one.a0, one.b0 = prior
            one.phi, one.is_fitted = min(phi, own.get(one.pk, phi)), True
        fits.put([one for one, _head in learnt], ["a0", "b0", "phi", "is_fitted"])

    def keep(self, rows: Sequence[StreamDay], day: date) -> None:
        """Write a day's rows in place of those there are."""
        replayed = [row.stream_id for row in rows if row.stream.last_day is not None and row.stream.last_day >= day]
        for some in chunks(replayed):
            StreamDay.objects.filter(day=day, stream__in=some).delete()
        bulk.insert(rows)
        newer = [row.stream for row in rows if row.stream.last_day is None or row.stream.last_day < day]
        for some in chunks([one.pk for one in newer]):
            Stream.objects.filter(pk__in=some).update(last_day=day)
        for one in newer:
            one.last_day = day
        for row in rows:
            self.rows[row.stream_id] = row

    def tell(self, rows: Iterable[StreamDay], night: DivergenceDay) -> int:
        """Open incidents, and tell those there are what the day said; return how many are new."""
        return sum(incidents.hear(row, night) for row in rows if row.is_alarm and not row.stream.is_silent)


def chunks(keys: Sequence[int], size: int = 900) -> Iterable[Sequence[int]]:
    """Yield keys in parts that any database takes in one question."""
    return (keys[start : start + size] for start in range(0, len(keys), size))
