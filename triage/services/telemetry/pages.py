"""What the pages of the field say: the fleet on a day, one stream, versions beside each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db.models import Count, F, Max, Q, QuerySet, Sum
from django.utils import timezone

from accounts.models import User
from accounts.roles import Role
from detection.divergence import POLICY, mean_over, usual_shares
from models_registry.models import Detector, Version
from triage.models import Closing, DivergenceDay, Incident, PairDay, Stream, StreamDay, StreamRestart, TelemetryDay
from triage.services.served import customers_of
from triage.services.telemetry import pictures, rates, sites, states
from triage.services.telemetry.field import WINDOW
from triage.services.telemetry.pictures import Picture, Small
from triage.services.telemetry.rates import Rate
from triage.services.telemetry.sites import Silent

PAGE = 24  # small multiples
SMALL_DAYS, LARGE_DAYS = 42, 84


@dataclass(frozen=True, slots=True)
class Running:
    """What came of a day that is not closed: a warning, never an incident."""

    x: int
    n: int
    low: float
    high: float

    @property
    def is_unusual(self) -> bool:
        return self.n > 0 and not self.low <= self.x / self.n <= self.high


@dataclass(frozen=True, slots=True)
class Multiple:
    """One stream among many."""

    row: StreamDay  # of the day that is shown
    picture: Small | None
    incident: Incident | None
    running: Running | None

    @property
    def stream(self) -> Stream:
        return self.row.stream


@dataclass(frozen=True, slots=True)
class Fleet:
    """All streams that a reader may see, as they stood after a day; those that changed most come first."""

    day: date | None
    earlier: date | None
    later: date | None
    multiples: list[Multiple]
    after: str  # key of the next page; empty: none
    streams: int
    tested: int
    alarms: int
    incidents: int  # open ones
    silent: int  # sites
    rate: Rate
    detectors: list[Detector]


def streams_of(reader: User) -> QuerySet[Stream]:
    """Return the streams of customers that a reader works for, and those of the fleet."""
    if not reader.has_role(Role.SUPPORT):
        return Stream.objects.all()
    return Stream.objects.filter(Q(customer=None) | Q(customer__in=customers_of(reader)))


def fleet(reader: User, *, day: date | None = None, detector: str = "", kind: str = "", after: str = "") -> Fleet:
    """Return a page of the fleet; `after`: key of the last stream that was shown."""
    closed = DivergenceDay.objects.filter(detector__name=detector) if detector else DivergenceDay.objects.all()
    shown = day or closed.aggregate(newest=Max("day"))["newest"]
    rows = StreamDay.objects.filter(day=shown, stream__in=streams_of(reader))
    if detector:
        rows = rows.filter(stream__detector__name=detector)
    if kind:
        rows = rows.filter(stream__kind=kind)
    page = list(
        _after(rows, after)
        .select_related("stream__customer", "stream__version__detector")
        .order_by("-statistic", "stream_id")[: PAGE + 1]
    )
    return Fleet(
        day=shown,
        earlier=closed.filter(day__lt=shown).aggregate(one=Max("day"))["one"] if shown else None,
        later=closed.filter(day__gt=shown).order_by("day").values_list("day", flat=True).first() if shown else None,
        multiples=_multiples(page[:PAGE]),
        after=_key(page[PAGE - 1]) if len(page) > PAGE else "",
        incidents=Incident.objects.visible_to(reader).unclosed().count(),
        silent=len(silent(reader)),
        rate=rates.on(shown or timezone.now().date()),
        detectors=list(Detector.objects.filter(streams__isnull=False).distinct().order_by("name")),
        **_totals(closed.filter(day=shown), rows, reader),
    )


def _totals(closed: QuerySet[DivergenceDay], rows: QuerySet[StreamDay], reader: User) -> dict[str, int]:
    """Return how many streams told, were tested and are in alarm: as the day was closed, or of a reader's customers."""
    if not reader.has_role(Role.SUPPORT):
        found = closed.aggregate(streams=Sum("streams"), tested=Sum("tested"), alarms=Sum("alarms"))
        return {name: value or 0 for name, value in found.items()}
    return states.totals(rows)


def _key(row: StreamDay) -> str:
    return f"{row.statistic!r},{row.stream_id}"


def _after(rows: QuerySet[StreamDay], key: str) -> QuerySet[StreamDay]:
    """Return the rows behind a key; all of them where it is none."""
    statistic, _comma, stream = key.partition(",")
    try:
        last, number = float(statistic), int(stream)
    except ValueError:
        return rows
    if not 0 <= last <= 1e300 or not 0 <= number < 2**63:
        return rows
    return rows.filter(Q(statistic__lt=last) | Q(statistic=last, stream_id__gt=number))


def _multiples(rows: Sequence[StreamDay]) -> list[Multiple]:
    streams = [row.stream for row in rows]
    past: dict[int, list[StreamDay]] = defaultdict(list)
    if rows:
        until = max(row.day for row in rows)
        days = StreamDay.objects.filter(stream__in=streams, day__gt=until - timedelta(days=SMALL_DAYS), day__lte=until)
        for one in days.order_by("stream_id", "day"):
            past[one.stream_id].append(one)
    incidents = {one.stream_id: one for one in Incident.objects.unclosed().filter(stream__in=streams)}
    now = _running(streams)
    return [
        Multiple(
            row,
            pictures.small(past[row.stream_id], row.since if row.is_alarm else None),
            incidents.get(row.stream_id),
            _of_running(row, now.get((row.stream.customer_id, row.stream.version_id))),
        )
        for row in rows
    ]


def _running(streams: Iterable[Stream]) -> dict[tuple[int | None, int], TelemetryDay]:
    """Return what customers counted so far of the day that runs."""
    told = list(streams)
    today = timezone.now().astimezone(UTC).date()
    rows = TelemetryDay.objects.filter(
        day=today, customer__in={one.customer_id for one in told}, version__in={one.version_id for one in told}
    )
    return {(row.customer_id, row.version_id): row for row in rows}


def _of_running(row: StreamDay, today: TelemetryDay | None) -> Running | None:
    if today is None or row.day >= today.day:
        return None
    x, n = states.successes_and_trials(row.stream.kind, today.model_only, today.heuristic_only, today.both)
    low, high = usual_shares(max(n, 1), mean_over(row.a0, row.b0, row.ref_x, row.ref_n), row.stream.phi)
    return Running(x, n, float(low), float(high))


# --- one stream ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """One stream, with every number that is explained beside its chart."""

    stream: Stream
    days: list[StreamDay]  # newest first
    newest: StreamDay | None
    picture: Picture | None
    low: float  # where the newest day's share usually lies
    high: float
    needed: float  # A
    since: date | None  # the change began, if there is one
    running: Running | None
    incidents: list[Incident]
    others: list[Stream]  # of the same customer and detector
    restarts: list[tuple[StreamRestart, str]]  # with the name of the choice that made them
    left: int  # days of learning

    @property
    def said(self) -> str:
        """The newest statistic as a sentence takes it: beyond a million nobody counts digits."""
        statistic = self.newest.statistic if self.newest else 0.0
        return "> 1,000,000" if statistic > 1e6 else f"{statistic:,.1f}"


def told(stream: Stream) -> Told:
    """Return what the page of a stream shows."""
    days = list(stream.days.order_by("-day")[:LARGE_DAYS])
    newest = days[0] if days else None
    day = DivergenceDay.objects.filter(detector=stream.detector_id).order_by("-day").first()
    needed = day.needed if day else POLICY.between_false_alarms
    since = newest.since if newest and newest.statistic >= POLICY.freeze_at else None
    low, high = usual_shares(max(newest.n, 1), newest.mu, newest.phi) if newest else (0.0, 1.0)
    others = Stream.objects.filter(customer=stream.customer_id, detector=stream.detector_id).exclude(pk=stream.pk)
    return Told(
        stream=stream,
        days=days,
        newest=newest,
        picture=pictures.of_stream(days[::-1], needed, since),
        low=float(low),
        high=float(high),
        needed=needed,
        since=since,
        running=_of_running(newest, _running([stream]).get((stream.customer_id, stream.version_id)))
        if newest
        else None,
        incidents=list(stream.incidents.listed()[:20]),
        others=list(others.select_related("version__detector", "customer")[:20]),
        restarts=[(one, str(Closing(one.reason).label)) for one in stream.restarts.order_by("-id")[:10]],
        left=max(stream.learning - (newest.learned if newest else 0), 0),
    )


# --- sites and versions --------------------------------------------------------------------------------------------


def silent(reader: User, now: datetime | None = None) -> list[Silent]:
    """Return the sites of a reader's customers that do not speak."""
    found = sites.silent(now)
    if not reader.has_role(Role.SUPPORT):
        return found
    mine = set(customers_of(reader).values_list("pk", flat=True))
    return [one for one in found if one.site.customer_id in mine]


@dataclass(frozen=True, slots=True)
class Standing:
    """One version as customers counted it over the window."""

    version: Version
    customers: int
    days: int
    scanned: int
    model_only: int
    heuristic_only: int
    both: int
    incidents: int  # open ones

    @property
    def flagged(self) -> int:
        return self.model_only + self.both

    @property
    def per_million(self) -> float | None:
        return 1e6 * self.flagged / self.scanned if self.scanned else None

    @property
    def excess(self) -> float | None:
        """Percent of all that anybody flagged."""
        return _percent(self.model_only, self.flagged + self.heuristic_only)

    @property
    def missed(self) -> float | None:
        """Percent of what rules flagged."""
        return _percent(self.heuristic_only, self.both + self.heuristic_only)


def _percent(x: int, n: int) -> float | None:
    return 100 * x / n if n else None


def standings(detector: Detector, reader: User) -> list[Standing]:
    """Return the versions of a detector that customers counted lately, newest first."""
    first = timezone.now().date() - WINDOW
    rows = TelemetryDay.objects.filter(version__detector=detector, day__gt=first)
    if reader.has_role(Role.SUPPORT):
        rows = rows.filter(customer__in=customers_of(reader))
    told = rows.values("version").annotate(
        customers=Count("customer", distinct=True), days=Count("day", distinct=True), seen=Sum("scanned"),
        a=Sum("model_only"), b=Sum("heuristic_only"), c=Sum("both"),
    )  # fmt: skip
    versions = {one.pk: one for one in detector.versions.select_related("detector")}
    open_ones = Incident.objects.visible_to(reader).unclosed().filter(version__detector=detector)
    incidents = dict(open_ones.order_by().values_list("version").annotate(n=Count("pk")))
    found = [
        Standing(versions[one["version"]], one["customers"], one["days"], one["seen"], one["a"], one["b"], one["c"],
                 incidents.get(one["version"], 0))
        for one in told.order_by()
    ]  # fmt: skip
    return sorted(found, key=lambda one: -one.version.number)


def partners(version: Version) -> list[Version]:
    """Return the versions that customers scored on the same sessions as this one, newest first."""
    first = timezone.now().date() - WINDOW
    pairs = PairDay.objects.filter(Q(a=version) | Q(b=version), day__gt=first).order_by()
    keys = {key for pair in pairs.values_list("a", "b").distinct() for key in pair} - {version.pk}
    return list(Version.objects.filter(pk__in=keys).select_related("detector").order_by("-number"))


def worst(version: Version, reader: User) -> list[Multiple]:
    """Return a version's streams that changed most."""
    rows = StreamDay.objects.filter(day=F("stream__last_day"), stream__version=version, stream__in=streams_of(reader))
    rows = rows.select_related("stream__customer", "stream__version__detector").order_by("-statistic", "stream_id")
    return _multiples(list(rows[:PAGE]))
