"""The field in the demo: invented sites whose appliances count, sign what they counted, and are heard by the intake.

Nobody scores there: counts are drawn, and each message goes the way that one from a customer goes. When the demo opens
they tell of six weeks; from then on of every hour that is over. One site has changed since yesterday, one is silent.
The changed one runs a bundle of its customer's own, so that the clock of its incident runs until somebody stops it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.db.models import Count

from accounts.models import User
from appliance import enrol
from appliance.home import Home
from config.celery import TRAINING, app
from detection.envelopes import seal
from detection.score_bins import BINS, WIDTH, score_bin
from models_registry.models import Appliance, Bundle, Channel, Customer, Publication, Site, Stage, Version
from models_registry.services import appliances, customers
from triage.services.telemetry import intake

FOLDER = "sites"  # of the demo: a folder for each appliance
DAYS = 42  # of the past: a stream learns for 28
PAST_HOURS = (8, 16)  # UTC; of days that were over when the demo opened
SEED = 5
SCANNED = 20_000  # sessions an hour of a site
PRECISION = 150.0  # from day to day, as the specification's simulation has it
WEEK = (1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.4)
NOT_SEEN = 0.08  # of what rules hit
NEAR = 200  # sessions an hour that look somewhat like attacks
SPREAD = 0.7  # nats by which flagged scores lie above the threshold, on average
GOES_BAD = "Synthetic factory"  # has a bundle of his own, where the turn could give him one


@dataclass(frozen=True, slots=True)
class Place:
    """A site, and what its days are like."""

    customer: str
    site: str
    flagged: int  # a weekday, by anybody
    share: float  # of them by the model alone
    odds: float = 1.0  # times, from the day before the demo opened
    quiet: int = 0  # days before the demo opened since which nothing comes
    channel: str = "stable"

    @property
    def name(self) -> str:
        return f"{self.customer} {self.site}".replace(" ", "-").lower()


PLACES = (
    Place("Synthetic shop", "North", 90, 0.20, channel="canary"),
    Place("Synthetic shop", "South", 40, 0.24),
    Place("Synthetic clinic", "Ward", 60, 0.25),
    Place(GOES_BAD, "Hall", 110, 0.20, odds=8.0),
    Place("Synthetic bank", "Centre", 160, 0.15),
    Place("Synthetic school", "Campus", 50, 0.30, quiet=6),
)


def send_beside(engineer: User, senior: User) -> Bundle | None:
    """Send to canary a bundle in which the newest silent version goes beside the active one, so that both are counted
    on the same sessions. None where there are no two."""
    from config.demo import delivery
    from config.demo.experts import Visitor

    silent = Version.objects.filter(stage=Stage.SILENT).select_related("detector").order_by("-id")
    for version in silent:
        active = version.detector.versions.filter(stage=Stage.ACTIVE).first()
        if active is not None:
            bundle = _beside(active, version)
            return bundle if delivery.release(bundle, "canary", Visitor(engineer), senior) else None
    return None


def _beside(active: Version, silent: Version) -> Bundle:
    from config.demo import delivery
    from config.demo.experts import NotAsExpected

    try:
        return delivery.build([(active, True), (silent, False)])
    except NotAsExpected:  # it has met its false positive meanwhile, and may not leave loud again
        return delivery.build([(active, False), (silent, False)])


def tell(now: datetime, engineer: User | None) -> int:
    """Tell of every hour that is over and was not told of; return how many. None before a version speaks somewhere."""
    bundles = {"canary": _beside_each_other() or _speaking("canary"), "stable": _speaking("stable")}
    told = 0
    for number, place in enumerate(PLACES):
        bundle = _own(place) or bundles[place.channel]
        if bundle is not None:
            told += _tell(number, place, _home(place, bundle, engineer, now), bundle, now)
    if told:
        app.send_task("triage.tasks.close_telemetry_days", queue=TRAINING)  # by name: a task brings the science along
    return told


def _own(place: Place) -> Bundle | None:
    """Return the bundle of its customer's own that reaches a place."""
    customer = Customer.objects.filter(name=place.customer).first()
    if customer is None:
        return None
    newest = Publication.objects.reaching(customer, place.channel).select_related("bundle").first()
    return newest.bundle if newest and newest.channel == Channel.CUSTOMER else None


def _beside_each_other() -> Bundle | None:
    """Return the newest bundle on canary that counts several versions on the same sessions."""
    several = Bundle.objects.annotate(n=Count("entries")).filter(n__gt=1, publications__channel="canary")
    return several.order_by("-id").first()


def _speaking(channel: str) -> Bundle | None:
    """Return the newest bundle of a channel in which a version speaks."""
    loud = Publication.objects.filter(channel=channel, bundle__entries__is_silent=False)
    newest = loud.select_related("bundle").order_by("-id").first()
    return newest.bundle if newest else None


def _home(place: Place, bundle: Bundle, engineer: User | None, now: datetime) -> Home:
    """Return the folder of a place's appliance; it is enrolled when it has none."""
    home = Home(Path(settings.VAR) / FOLDER / place.name)
    if home.read("config.json") is not None:
        return home
    customer = Customer.objects.filter(name=place.customer).first()
    customer = customer or customers.make_customer(place.customer, engineer)
    site = Site.objects.filter(customer=customer, name=place.site).first()
    site = site or customers.make_site(customer, place.site, engineer)
    asked = enrol.request(home, appliances.make_code(site, place.channel, engineer))
    enrol.accept(home, appliances.enrol(asked["code"], asked["public_key"]), "", "5.1")
    began = now - timedelta(days=DAYS)
    home.write("story.json", {"began": str(began.date()), "until": f"{began:%Y-%m-%dT00}"})
    Appliance.objects.filter(name=home.config()["appliance"]).update(enrolled_at=began)
    for product in ("5.1", "5.2") if place.odds > 1 else ("5.1",):
        appliances.report(_signed(home, "report", _report(bundle, product, began), now))
    return home


def _report(bundle: Bundle, product: str, since: datetime) -> dict[str, Any]:
    running = {"digest": bundle.digest, "bundle": bundle.metadata["bundle"], "since": f"{since:%Y-%m-%dT%H:00:00Z}"}
    return {"bundles": {bundle.protocol: running}, "product_version": product, "stale_hours": 0}


def _signed(home: Home, kind: str, body: dict[str, Any], now: datetime) -> bytes:
    at = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    return seal(kind, home.config()["appliance"], home.next_counter(), at, body, home.key())


def _tell(number: int, place: Place, home: Home, bundle: Bundle, now: datetime) -> int:
    story, told = home.read("story.json"), 0
    opened = date.fromisoformat(story["began"]) + timedelta(days=DAYS)
    for hour in _hours(story["until"], opened, now):
        if place.quiet and hour.date() > opened - timedelta(days=place.quiet):
            break
        body = _counted(number, place, bundle, hour, opened)
        intake.take_in(_signed(home, "telemetry", body, now))
        told += 1
    home.write("story.json", story | {"until": f"{now:%Y-%m-%dT%H}"})
    return told


def _hours(until: str, opened: date, now: datetime) -> Iterator[datetime]:
    """Yield the hours that are over since the last was told of."""
    hour = datetime.strptime(until, "%Y-%m-%dT%H").replace(tzinfo=UTC)
    while hour + timedelta(hours=1) <= now:
        if hour.date() >= opened or hour.hour in PAST_HOURS:
            yield hour
        hour += timedelta(hours=1)


# --- what is counted -----------------------------------------------------------------------------------------------


def _counted(number: int, place: Place, bundle: Bundle, hour: datetime, opened: date) -> dict[str, Any]:
    """Return an hour as an appliance writes it down; the same each time it is asked for."""
    day = hour.date()
    of_day = np.random.default_rng([SEED, number, day.toordinal()])
    draw = np.random.default_rng([SEED, number, day.toordinal(), hour.hour])
    changed = day >= opened - timedelta(days=1)
    odds = place.share / (1 - place.share) * (place.odds if changed else 1.0)
    mean = odds / (1 + odds)
    share = of_day.beta(PRECISION * mean, PRECISION * (1 - mean))
    hours = len(PAST_HOURS) if day < opened else 24
    alone = int(draw.binomial(flagged := draw.poisson(place.flagged * WEEK[day.weekday()] / hours), share))
    hits = int(flagged) - alone
    entries = list(bundle.entries.select_related("version__detector").order_by("is_silent", "-version__number"))
    models, above = [], []
    for entry in entries:
        seen = int(draw.binomial(hits, 1 - NOT_SEEN if entry is entries[0] else 0.85))
        mine = alone if entry is entries[0] else int(draw.binomial(alone, 0.7))
        above.append((mine, seen))
        model = _model(str(entry.version), entry.is_silent, mine, hits - seen, seen)
        models.append(model | {"scores": _scores(mine + seen, entry.threshold, draw)})
    pairs = [_pair(models, above, a, b) for a in range(len(models)) for b in range(a + 1, len(models))]
    told = {"hour": f"{hour:%Y-%m-%dT%H:00Z}", "bundle": bundle.metadata["bundle"], "protocol": bundle.protocol}
    return told | {"models": models, "pairs": pairs}


def _model(name: str, is_silent: bool, alone: int, missed: int, both: int) -> dict[str, Any]:
    cells = {"both": both, "model_only": alone, "heuristic_only": missed, "not_inspected": 0}
    cells["neither"] = SCANNED - sum(cells.values())
    return {"model": name, "is_silent": is_silent, "scanned": SCANNED, **cells}


def _scores(flagged: int, threshold: float, draw: np.random.Generator) -> dict[str, int]:
    """Return sessions by bin of their scores: those that were flagged above the threshold, the nearer the more."""
    least = score_bin(threshold) + 1
    above = np.minimum(least + draw.exponential(SPREAD / WIDTH, flagged).astype(int), BINS - 1)
    below = draw.integers(0, least, NEAR)
    bins, counts = np.unique(np.concatenate([above, below]), return_counts=True)
    told = {int(name): int(count) for name, count in zip(bins, counts, strict=True)}
    told[0] = told.get(0, 0) + SCANNED - flagged - NEAR
    return {str(name): count for name, count in told.items()}


def _pair(models: list[dict[str, Any]], above: list[tuple[int, int]], a: int, b: int) -> dict[str, Any]:
    """Return two models on the same sessions: of what either flags, the one that flags less flags a part."""
    both = sum(min(one, other) for one, other in zip(above[a], above[b], strict=True))
    only_a, only_b = sum(above[a]) - both, sum(above[b]) - both
    cells = {"both": both, "only_a": only_a, "only_b": only_b, "neither": SCANNED - both - only_a - only_b}
    return {"a": models[a]["model"], "b": models[b]["model"], **cells}
