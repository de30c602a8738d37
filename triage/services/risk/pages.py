"""What the pages of hosts at risk say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from ipaddress import ip_address
from zoneinfo import ZoneInfo

import numpy as np
from django.db.models import Count, Max, Q, QuerySet

from detection import adaptive
from detection.adaptive import POLICY, Contribution
from traffic.models import Sensor
from triage.models import Entity, Organisation, RiskAlert, RiskNight, RiskScore, RiskWeights, WatchedSensor
from triage.services.risk import nights, pictures, states
from triage.services.risk.pictures import Nights, Picture

SHOWN_NIGHTS = 60
RECENT = 30  # nights
SMALL = 30  # entities: fewer shape their own habit
PAGE = 50
FEATURE_DAYS = 7  # features that spoke lately are weighed on the page


@dataclass(frozen=True, slots=True)
class Rising:
    """A threshold that crept up within 30 days, without a label that allowed it."""

    entity: Entity
    threshold: float
    before: float

    @property
    def ratio(self) -> float:
        return self.threshold / self.before


@dataclass(frozen=True, slots=True)
class Listed:
    """An organisation as a line of the list."""

    organisation: Organisation
    night: RiskNight | None  # the newest
    realised: float | None  # as of an overview


@dataclass(frozen=True, slots=True)
class Overview:
    """An organisation as its last nights left it."""

    organisation: Organisation
    night: RiskNight | None  # the newest
    chart: Nights
    expected: float  # alerts a day
    realised: float | None  # alerts a day of the last RECENT nights that could alert; None before
    nights: int  # those
    noisiest: float | None  # share of these alerts that the noisiest 1 % of the entities raised
    rising: list[Rising]
    opened: Sequence[RiskAlert]
    over: int  # alerts of the newest night that stayed a group,
    group: Sequence[RiskAlert]  # the highest of them
    everything_alerts: bool
    is_small: bool

    @property
    def noisiest_percent(self) -> float | None:
        return None if self.noisiest is None else 100 * self.noisiest


def listed() -> list[Listed]:
    """Return all organisations with what their newest nights said."""
    found = []
    for organisation in Organisation.objects.all():
        newest = _newest(organisation, RECENT)
        found.append(Listed(organisation, newest[0] if newest else None, _realised(_heard(newest))))
    return found


def _newest(organisation: Organisation, number: int) -> list[RiskNight]:
    spoken = nights.in_use(organisation)[0]
    return list(spoken.nights.order_by("-day").defer("surprises", "curve", "policy")[:number])


def _heard(newest: Sequence[RiskNight]) -> list[RiskNight]:
    """Return those of the recent nights that could alert."""
    return [one for one in newest[:RECENT] if one.fit and one.mode != RiskNight.Mode.SILENT]


def _realised(heard: Sequence[RiskNight]) -> float | None:
    return sum(one.alerts for one in heard) / len(heard) if heard else None


def overview(organisation: Organisation) -> Overview:
    """Return what the page of an organisation shows."""
    newest = _newest(organisation, SHOWN_NIGHTS)
    heard = _heard(newest)
    last = newest[0] if newest else None
    told = RiskAlert.objects.filter(night__in=[one.pk for one in heard])
    return Overview(
        organisation=organisation,
        night=last,
        chart=pictures.of_nights(newest[::-1], organisation.budget),
        expected=organisation.budget,
        realised=_realised(heard),
        nights=len(heard),
        noisiest=_noisiest(told, last.entities) if last else None,
        rising=rising(newest) if last else [],
        opened=_shown(told, last, opened=True),
        over=told.filter(night=last, opened=False).count() if last else 0,
        group=_shown(told, last, opened=False),
        everything_alerts=bool(last and last.fit and last.fit["zeta_target"] >= 1),
        is_small=bool(last and last.entities < SMALL),
    )


def _shown(told: QuerySet[RiskAlert], night: RiskNight | None, *, opened: bool) -> list[RiskAlert]:
    alerts = told.filter(night=night, opened=opened).select_related("entity")
    return list(alerts.order_by("-score", "-surprise")[:PAGE])


def rising(newest: Sequence[RiskNight]) -> list[Rising]:
    """Return the thresholds that crept up, steepest first; `newest`: nights, newest first."""
    last, then = newest[0], next((one for one in newest if one.day <= newest[0].day - timedelta(days=RECENT)), None)
    if then is None or not then.thresholds_path or not last.thresholds_path:
        return []
    now, before = states.thresholds(last.thresholds_path), states.thresholds(then.thresholds_path)
    padded = np.full(len(now), np.inf)
    padded[: len(before)] = before
    labelled = np.zeros(len(now), bool)
    accepted = RiskAlert.objects.filter(night__weights=last.weights_id, effect__in=("ordinary", "of-peers"))
    rows = accepted.filter(applied_at__gte=then.at).values_list("entity__row", flat=True)
    labelled[[row for row in rows if row < len(now)]] = True
    found = adaptive.rising(now, padded, labelled).tolist()
    known = {one.row: one for one in Entity.objects.filter(organisation=last.organisation_id, row__in=found)}
    return [Rising(known[row], float(now[row]), float(padded[row])) for row in found if row in known]


def _noisiest(alerts: QuerySet[RiskAlert], entities: int) -> float | None:
    """Return the share of alerts that the noisiest hundredth of the entities raised, at least one of them."""
    counts = list(alerts.values("entity").annotate(n=Count("id")).order_by("-n").values_list("n", flat=True))
    if not counts:
        return None
    return float(sum(counts[: math.ceil(entities / 100)]) / sum(counts))


@dataclass(frozen=True, slots=True)
class DayOf:
    """One past day of an entity."""

    day: date
    value: float
    threshold: float | None
    parts: list[Contribution]
    alert: RiskAlert | None
    asked: str = ""  # the hunt of its sessions of that day; empty where it is no host of a sensor of ours


@dataclass(frozen=True, slots=True)
class Portrait:
    """An entity beside its organisation."""

    entity: Entity
    night: RiskNight | None
    picture: Picture | None
    periods: int  # days it has been watched,
    weight: float  # of them, decayed
    threshold: float | None
    newcomer: float | None  # threshold of somebody without history
    today: DayOf | None
    marked: date | None  # which day that is
    days: list[DayOf]
    own_share: float  # of the blend that its own past is
    is_of_peers: bool = False  # its group of peers is large enough for a habit of its own

    @property
    def own_percent(self) -> float:
        return 100 * self.own_share


def portrait(entity: Entity, day: date | None = None) -> Portrait:
    """Return what the page of an entity shows; `day` is marked in the picture, the newest one unless said."""
    organisation = entity.organisation
    weights = nights.in_use(organisation)[0]
    night = weights.nights.order_by("-day").exclude(state_path="").first()
    days = days_of(entity)
    state = states.row_of(night.state_path, entity.row) if night else None
    if night is None or state is None:
        cold = night.habit_of(entity.peers)[1] if night else None
        return Portrait(entity, night, None, 0, 0.0, None, cold, None, None, days, 0.0)
    curve, cold, is_of_peers = night.habit_of(entity.peers)
    factor, weight, seen = state.as_of(night.day.toordinal())
    threshold = float(state.threshold[0])
    told = threshold if math.isfinite(threshold) else None
    today = next((one for one in days if one.day == (day or night.day)), None)
    picture = pictures.of_entity(
        state.counts[0] * factor[0], float(weight[0]), curve, told, today.value if today else 0.0
    )
    share = float(weight[0] / (weight[0] + POLICY.kappa0))
    marked = day or night.day
    return Portrait(
        entity, night, picture, int(seen[0]), float(weight[0]), told, cold, today, marked, days, share, is_of_peers
    )


def days_of(entity: Entity, number: int = RECENT) -> list[DayOf]:
    """Return the newest days on which something was said of an entity, with what each was made of."""
    weights = nights.in_use(entity.organisation)[0]
    days = list(
        RiskScore.objects.under(weights)
        .filter(entity=entity)
        .values("day")
        .annotate(top=Max("score"))
        .order_by("-day")[:number]
    )
    scores: dict[date, list[RiskScore]] = {one["day"]: [] for one in days}
    told_of = RiskScore.objects.under(weights).filter(entity=entity, day__in=list(scores))
    for score in told_of.order_by("feature"):
        scores[score.day].append(score)
    alerts = {
        one.day: one
        for one in RiskAlert.objects.filter(entity=entity, day__in=list(scores)).select_related("item__detector")
    }
    is_host = _is_address(entity.name) and entity.organisation.sensors.exists()
    paths = dict(weights.nights.filter(day__in=list(scores)).values_list("day", "thresholds_path"))
    found = []
    for day, told in scores.items():
        _rows, values, parts = adaptive.period_values(
            [0] * len(told), [one.feature for one in told], [one.score for one in told],
            weights.weights, weights.groups, most=10,
        )  # fmt: skip
        path = paths.get(day)
        threshold = states.threshold_at(path, entity.row) if path else None
        if threshold is not None and not math.isfinite(threshold):
            threshold = None
        value = float(values[0]) if len(values) else 0.0
        asked = sessions_asked(entity, day) if is_host else ""
        found.append(DayOf(day, value, threshold, parts[0] if parts else [], alerts.get(day), asked))
    return found


def sessions_asked(host: Entity, day: date) -> str:
    """Return the filter of hunts for the sessions of a host on a day of its organisation."""
    zone = ZoneInfo(host.organisation.time_zone)
    begin, end = (
        datetime.combine(one, time(), zone).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for one in (day, day + timedelta(days=1))
    )
    return f"(src.ip == {host.name} or dst.ip == {host.name}) and start >= {begin} and start < {end}"


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Weighed:
    """A feature as the newest weights have it."""

    feature: str
    version: int | None  # of our own detector; None: others tell it
    weight: float
    group: str


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the scores of an organisation come from, and what they weigh."""

    weights: RiskWeights  # the newest
    learning: int | None  # days that their history has heard, while an older one speaks
    sensors: Sequence[WatchedSensor]
    features: list[Weighed]

    @property
    def sensor_names(self) -> str:
        return ", ".join(one.sensor.name for one in self.sensors)


def sources(organisation: Organisation) -> Sources:
    newest = organisation.weights
    spoken = nights.in_use(organisation)[0]
    learning = None
    if spoken != newest:
        heard = newest.nights.order_by("-day").values_list("days_heard", flat=True).first()
        learning = heard or 0
    return Sources(newest, learning, list(organisation.sensors.select_related("sensor")), _weighed(newest))


def _weighed(weights: RiskWeights) -> list[Weighed]:
    """Return the features of the last days of scores, and those that the weights name."""
    scores = RiskScore.objects.under(weights)
    last = scores.aggregate(last=Max("day"))["last"]
    recent = scores.filter(day__gt=last - timedelta(days=FEATURE_DAYS)) if last else scores.none()
    names = set(recent.order_by().values_list("feature", flat=True).distinct())
    names |= weights.weights.keys() | weights.groups.keys() | weights.versions.keys()
    return [
        Weighed(name, weights.versions.get(name), weights.weights.get(name, 1.0), weights.groups.get(name, ""))
        for name in sorted(names)
    ]


def sensors() -> list[tuple[Sensor, WatchedSensor | None]]:
    """Return all sensors, each with where its hosts belong."""
    found = Sensor.objects.select_related("watched__organisation").order_by("name")
    return [(sensor, getattr(sensor, "watched", None)) for sensor in found]


def named(organisation: Organisation, asked: str) -> list[Entity]:
    """Return entities whose name begins so, or who are of such a group."""
    found = organisation.entities.filter(Q(name__istartswith=asked) | Q(peers__istartswith=asked))
    return list(found.order_by("name")[:PAGE])
