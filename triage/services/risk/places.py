"""Thresholds that fit a place: every site from what its appliance counted, every sensor of ours from stored scores."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, timedelta

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from accounts.models import User
from accounts.services import audit
from detection.adaptive import POLICY, places
from detection.adaptive.places import PlaceDay, PlaceThreshold
from models_registry.models import Customer, ScoreFile, Site, Version
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
class Told:
    """What the dial says of places."""

    places: list[Place]
    more: int  # that are not shown
    waiting: int  # that have counted too little
    over: int  # places above their budget at the threshold that is looked at


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
    return Told(found[:SHOWN], max(len(found) - SHOWN, 0), waiting, sum(one.is_over for one in found))


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
