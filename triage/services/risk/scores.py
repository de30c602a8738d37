"""Risk scores come in: the largest of a feature, an entity and a day stays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.utils import timezone

from detection.adaptive import POLICY
from triage.models import Entity, HeardDay, MissingDay, Organisation, RiskNight, RiskScore
from triage.services.risk import organisations

AHEAD = timedelta(minutes=10)  # a clock may be wrong by so much
_SOME = 300


@dataclass(frozen=True, slots=True)
class Told:
    """What a first-layer model said of an entity. score: 0 to 100, above is damped."""

    entity: str
    feature: str
    at: datetime
    score: float
    peers: str = ""  # its department or role; empty: as known
    version: int = 0  # of our own detector, whose name the feature is


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch."""

    taken: int  # scores that stand: new ones and larger ones
    kept: int  # a score as large stood already
    late: int  # of those taken: their day was closed, the next night takes them in
    too_late: int  # dropped: their day is more than seven days ago, or has counted with other scores of the entity


class FromTheFuture(ValueError):  # noqa: N818
    """A score of a moment that has not come."""


@transaction.atomic
def take_in(organisation: Organisation, scores: Sequence[Told], told_by: str) -> Taken:
    """Keep the largest score of each entity, feature and day. Sending the same again changes nothing.

    Sending nothing says that the feed is alive. Raises FromTheFuture, and then keeps nothing."""
    now = timezone.now()
    if future := next((one for one in scores if one.at > now + AHEAD), None):
        raise FromTheFuture(f"{future.at.isoformat()} lies in the future: expected a time until now, in UTC")
    zone = ZoneInfo(organisation.time_zone)
    today = now.astimezone(zone).date()
    best: dict[tuple[str, date, str, int], Told] = {}
    for one in scores:
        key = (one.entity, one.at.astimezone(zone).date(), one.feature, one.version)
        if key not in best or best[key].score < one.score:
            best[key] = one
    closed = {key: _closed(organisation, *key) for key in {(one.feature, one.version) for one in scores}}
    in_time = {key: one for key, one in best.items() if _is_in_time(key[1], closed[key[2:]])}
    entities = organisations.entities_of(
        organisation, (key[0] for key in in_time), min((key[1] for key in in_time), default=today)
    )
    _place(entities, in_time.values())
    rows = [
        RiskScore(
            organisation=organisation,
            entity=entities[name],
            day=day,
            feature=feature,
            version=version,
            score=one.score,
            at=one.at.astimezone(UTC),
            told_by=told_by,
            late=(until := closed[feature, version]) is not None and day <= until,
        )
        for (name, day, feature, version), one in in_time.items()
    ]
    rows = _uncounted(organisation, rows)
    kept = _write(rows)
    hear(organisation, {today, *(row.day for row in rows)})
    return Taken(len(rows) - kept, kept, sum(row.late for row in rows if row.pk), len(best) - len(rows))


def hear(organisation: Organisation, days: Iterable[date]) -> None:
    """Note that the feeds spoke on some days."""
    told = [HeardDay(organisation=organisation, day=day) for day in sorted(days)]
    HeardDay.objects.bulk_create(told, ignore_conflicts=True)


@transaction.atomic
def miss(organisation: Organisation, day: date, names: Iterable[str] | None = None) -> int:
    """Note that nothing could be heard on a day of some entities (of all, when None); returns how many are new.

    Entities nobody has heard of are left out."""
    if names is None:
        _row, is_new = MissingDay.objects.get_or_create(organisation=organisation, entity=None, day=day)
        return int(is_new)
    wanted = sorted(set(names))
    count = 0
    for begin in range(0, len(wanted), _SOME):
        for entity in organisation.entities.filter(name__in=wanted[begin : begin + _SOME]):
            _row, is_new = MissingDay.objects.get_or_create(organisation=organisation, entity=entity, day=day)
            count += is_new
    return count


def closed_until(organisation: Organisation) -> date | None:
    """Return the newest day that has had its night."""
    nights = RiskNight.objects.filter(organisation=organisation)
    return nights.order_by("-day").values_list("day", flat=True).first()


def _closed(organisation: Organisation, feature: str, version: int) -> date | None:
    """Return the newest closed day of the histories that a feature counts in."""
    if not version:
        return closed_until(organisation)
    counting = [one.pk for one in organisation.weightings.all() if one.versions.get(feature) == version]
    nights = RiskNight.objects.filter(weights__in=counting)
    return nights.order_by("-day").values_list("day", flat=True).first()


def _is_in_time(day: date, closed: date | None) -> bool:
    return closed is None or day > closed - timedelta(days=POLICY.late)


def _place(entities: dict[str, Entity], scores: Iterable[Told]) -> None:
    """Keep what the feed says about departments."""
    moved = {}
    for one in scores:
        entity = entities[one.entity]
        if one.peers and entity.peers != one.peers:
            entity.peers = one.peers
            moved[entity.pk] = entity
    Entity.objects.bulk_update(moved.values(), ["peers"], batch_size=_SOME)


def _uncounted(organisation: Organisation, rows: list[RiskScore]) -> list[RiskScore]:
    """Leave out what belongs to a closed day that has counted already with a value of the entity."""
    late = [row for row in rows if row.late]
    if not late:
        return rows
    weightings = list(organisation.weightings.order_by("-number"))
    done: set[tuple[int, date, str, int]] = set()
    for feature, version in {(row.feature, row.version) for row in late}:
        weights = next(one for one in weightings if not version or one.versions.get(feature) == version)
        mine = [row for row in late if (row.feature, row.version) == (feature, version)]
        counted = RiskScore.objects.under(weights).filter(day__in={row.day for row in mine}, late=False)
        for begin in range(0, len(mine), _SOME):
            part = counted.filter(entity__in={row.entity_id for row in mine[begin : begin + _SOME]})
            done |= {(entity, day, feature, version) for entity, day in part.values_list("entity_id", "day")}
    return [row for row in rows if not row.late or (row.entity_id, row.day, row.feature, row.version) not in done]


def _write(rows: list[RiskScore]) -> int:
    """Write scores, where none as large stands; return how many stood."""
    kept = 0
    for begin in range(0, len(rows), _SOME):
        part = rows[begin : begin + _SOME]
        days = {row.day for row in part}
        standing = {
            _key(one): one for one in RiskScore.objects.filter(entity__in={row.entity_id for row in part}, day__in=days)
        }
        larger = []
        for row in part:
            old = standing.get(_key(row))
            if old is None:
                continue
            if old.score >= row.score:
                kept += 1
                continue
            old.score, old.at, old.told_by, old.late = row.score, row.at, row.told_by, row.late
            row.pk = old.pk
            larger.append(old)
        RiskScore.objects.bulk_update(larger, ["score", "at", "told_by", "late"])
        RiskScore.objects.bulk_create([row for row in part if _key(row) not in standing])
    return kept


def _key(row: RiskScore) -> tuple[int, date, str, int]:
    return row.entity_id, row.day, row.feature, row.version
