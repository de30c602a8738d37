"""Thresholds that fit a place: every site from what its appliance counted, every sensor of ours from stored scores.

Sites of one customer run one bundle, so that one threshold serves them: the strictest of what their budgets ask for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from detection.adaptive import POLICY, places
from detection.adaptive.places import PlaceDay, PlaceThreshold
from models_registry.models import Appliance, Customer, ScoreFile, Site, Version
from models_registry.services import dials, scoring, weeks
from triage.models import AlertBudget, ScoreDay

DAYS = 56  # of counts: two half-lives of a calibration
KEPT = timedelta(days=92)
SHOWN = 50  # places, the furthest above their budget first


@dataclass(frozen=True, slots=True)
class Place:
    """A site or a sensor beside the threshold that somebody looks at."""

    name: str
    site: Site | None  # None: a sensor of our own
    found: PlaceThreshold
    now: float  # alerts a day at the threshold that is looked at
    agreed: bool  # two people have agreed on its threshold: it may leave

    @property
    def is_over(self) -> bool:
        return self.now > self.found.budget

    @property
    def customer(self) -> Customer | None:
        return self.site.customer if self.site else None


@dataclass(frozen=True, slots=True)
class Shared:
    """The one threshold that keeps the budget of each of a customer's sites, and what it costs them."""

    customer: Customer
    threshold: float
    sites: list[Place]
    unknown: list[Site]  # that have counted too little: nobody can say what it means for them
    agreed: bool

    @property
    def is_lowest(self) -> bool:
        """Whether no site's budget asks for anything."""
        return all(one.found.is_lowest for one in self.sites)

    @property
    def rows(self) -> list[tuple[Place, float, float, bool]]:
        """Each site with its alerts a day there, how many fewer than alone, and whether it decides."""
        found = []
        for one in self.sites:
            alerts = one.found.expected_at(self.threshold)
            found.append((one, alerts, one.found.expected - alerts, one.found.threshold == self.threshold))
        return found


@dataclass(frozen=True, slots=True)
class Told:
    """What the dial says of places."""

    places: list[Place]
    shared: list[Shared]  # of customers with several sites
    more: int  # that are not shown
    waiting: int  # that have counted too little
    over: int  # places above their budget at the threshold that is looked at

    @property
    def sharing(self) -> set[int]:
        """Customers whose sites share a threshold."""
        return {one.customer.pk for one in self.shared}


def of_version(version: Version, threshold: float, usual: float = POLICY.budget) -> Told:
    """Return what each place's own score counts say of a threshold, and the one that fits its budget.

    usual: alerts a day of places without a budget of their own."""
    agreed = dials.agreed(version)
    found, waiting = [], 0
    for name, site, budget, days in [*_sites(version, usual), *_sensors(version, usual)]:
        told = places.propose(days, budget)
        if told is None or told.threshold is None:
            waiting += 1
            continue
        found.append(Place(name, site, told, told.counted(threshold), told.threshold in agreed))
    found.sort(key=lambda one: (-one.now / one.found.budget, one.name))
    over = sum(one.is_over for one in found)
    return Told(found[:SHOWN], _shared(found, agreed), max(len(found) - SHOWN, 0), waiting, over)


def _shared(found: list[Place], agreed: Collection[float]) -> list[Shared]:
    """Return what serves customers with several sites, of those whose places are shown, in their order."""
    by_customer: dict[Customer, list[Place]] = {one.customer: [] for one in found[:SHOWN] if one.customer}
    for one in found:
        if one.customer in by_customer:
            by_customer[one.customer].append(one)
    counted = [one.site.pk for one in found if one.site]
    in_use = Site.objects.filter(customer__in=by_customer, appliances__in=Appliance.objects.filter(retired_at=None))
    unknown: dict[int, list[Site]] = defaultdict(list)
    for site in in_use.exclude(pk__in=counted).distinct().order_by("name"):
        unknown[site.customer_id].append(site)
    return [
        _together(customer, mine, unknown[customer.pk], agreed)
        for customer, mine in by_customer.items()
        if len(mine) + len(unknown[customer.pk]) > 1
    ]


def _together(customer: Customer, mine: list[Place], unknown: list[Site], agreed: Collection[float]) -> Shared:
    strictest = max(one.found.threshold or 0.0 for one in mine)
    return Shared(customer, strictest, mine, unknown, strictest in agreed)


@transaction.atomic
def change_budget(site: Site, per_day: float, by: User) -> None:
    """Say how many alerts a day a detector may raise at a site. Raises ValidationError."""
    row = AlertBudget.objects.select_for_update().filter(site=site).first() or AlertBudget(site=site)
    before = row.per_day
    row.per_day, row.by, row.at = per_day, by, timezone.now()
    row.clean_fields()
    row.save()
    audit.record(by, "site.budget", str(site), before=before, per_day=per_day)


def discard_old() -> int:
    """Delete counts that no threshold reads any more; return how many."""
    return ScoreDay.objects.filter(day__lt=(timezone.now() - KEPT).date()).delete()[0]


Days = tuple[str, Site | None, float, list[PlaceDay]]


def _sites(version: Version, usual: float) -> list[Days]:
    counted = ScoreDay.objects.filter(version=version)
    last = counted.aggregate(last=Max("day"))["last"]
    if last is None:
        return []
    by_site: dict[int, dict[date, PlaceDay]] = defaultdict(dict)
    for row in counted.filter(day__gt=last - timedelta(days=DAYS)):
        by_site[row.site_id][row.day] = PlaceDay(row.sessions, {int(name): n for name, n in row.counts.items()})
    sites = Site.objects.filter(pk__in=by_site).select_related("customer", "alert_budget")
    return [
        (
            str(site),
            site,
            own.per_day if (own := getattr(site, "alert_budget", None)) else usual,
            _whole(by_site[site.pk]),
        )
        for site in sites
    ]


def _sensors(version: Version, usual: float) -> list[Days]:
    """Count the week's scores of each sensor; a segment belongs to the day of its last session."""
    week = weeks.last_week(version.detector.protocol)
    if week is None:
        return []
    files = ScoreFile.objects.filter(version=version, segment__in=week.segments).exclude(path="")
    summed: dict[str, dict[date, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    for file in files.select_related("segment__sensor"):
        assert file.segment.last_at is not None  # it reaches into the week
        try:
            raw = scoring.read_scores(file, columns=["raw"])["raw"].to_numpy()
        except (scoring.ScoreMismatch, FileNotFoundError):  # merged or deleted meanwhile
            continue
        summed[file.segment.sensor.name][file.segment.last_at.date()].update(places.score_counts(raw))
    return [
        (name, None, usual, _whole({day: PlaceDay(counts.total(), counts) for day, counts in by_day.items()}))
        for name, by_day in sorted(summed.items())
    ]


def _whole(days: dict[date, PlaceDay]) -> list[PlaceDay]:
    """Return days, oldest first; without the one that still goes on, unless it is all there is."""
    today = timezone.now().date()
    over = [days[day] for day in sorted(days) if day < today]
    return over or list(days.values())
