"""The night of an organisation: labels act, thresholds step, the day's values are scored, histories take them in.

A night reads the files of the one before and writes new ones; its row appears with its alerts in one transaction. What
dies in between leaves a file that the next try writes anew, byte for byte."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import structlog
from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from detection import adaptive
from detection.adaptive import POLICY, Calibration, Contribution, Entities, Night, Policy
from jobs.services import jobs
from jobs.services.jobs import Lease
from traffic import storage
from triage.models import Entity, HeardDay, MissingDay, Organisation, RiskAlert, RiskNight, RiskScore, RiskWeights
from triage.services.risk import effects, states

TASK = "triage.tasks.close_risk_days"
KIND = "hosts at risk"
AFTER = timedelta(hours=2)  # a day closes so long after its midnight: feeds may be slow
STATES_KEPT = 3  # nights
THRESHOLDS_KEPT = 62  # nights: the report of rising thresholds and pictures look back
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Day:
    """What is known of a day: rows of entities with a value, their values and what these are made of."""

    rows: Any
    values: Any
    parts: list[list[Contribution]]


def start_due(now: datetime | None = None) -> int:
    """Start a job for every organisation with a day to close; return how many."""
    now = now or timezone.now()
    count = 0
    for organisation in Organisation.objects.all():
        if next(due(organisation, now), None) is not None:
            key = f"risk:{organisation.slug}"
            jobs.start(TASK, key, {"organisation": organisation.pk}, kind=KIND, queue="training")
            count += 1
    return count


def work(lease: Lease) -> dict[str, Any]:
    """Close what is due of an organisation, one day after the other; a second run goes on where the first died."""
    organisation = Organisation.objects.get(pk=lease.job.arguments["organisation"])
    nights = list(due(organisation, timezone.now()))
    alerts = 0
    for index, (weights, day) in enumerate(nights):
        lease.progress(index, len(nights))
        alerts += close(weights, day).alerts
    return {"days": len(nights), "alerts": alerts}


def due(organisation: Organisation, now: datetime) -> Iterator[tuple[RiskWeights, date]]:
    """Yield the days of an organisation that are over and had no night yet, oldest first."""
    last = (now - AFTER).astimezone(ZoneInfo(organisation.time_zone)).date() - timedelta(days=1)
    for weights in in_use(organisation):
        latest = _latest(weights)
        day = latest.day + timedelta(days=1) if latest else _first_day(organisation)
        while day is not None and day <= last:
            yield weights, day
            day += timedelta(days=1)


def in_use(organisation: Organisation) -> list[RiskWeights]:
    """Return whose alerts count, first, and what is learning to take its place."""
    learning: list[RiskWeights] = []
    for weights in organisation.weightings.order_by("-number"):
        latest = _latest(weights)
        if latest and latest.days_heard >= POLICY.cold_start:
            return [weights, *learning]
        learning.insert(0, weights)
    return learning


def close(weights: RiskWeights, day: date, policy: Policy = POLICY) -> RiskNight:
    """Take one day in and return its night; the one there is when it was done before.

    Raises ValueError when the day before is not closed."""
    began = time.monotonic()
    organisation = weights.organisation
    speaks = in_use(organisation)[0] == weights and not _told_before(weights, day)
    before = _latest(weights)
    if before and before.day >= day:
        return RiskNight.objects.get(weights=weights, day=day)
    if before and before.day + timedelta(days=1) != day:
        raise ValueError(f"{day}: the day after {before.day} comes first")
    policy = replace(policy, budget=organisation.budget, floor=organisation.floor)
    ordinal = day.toordinal()
    members = _members(organisation, day)
    entities, calibration = _before(before, len(members), ordinal, policy)
    acted, calibration = effects.apply(weights, entities, calibration, ordinal, policy)
    lifted = organisation.lift_asked_at
    if lifted:
        entities.lift(slice(None))
    late, dropped = effects.take_late(weights, entities, ordinal - 1, members, policy)
    told = values_of(weights, day)
    missing = _missing(organisation, day, members, told)
    learning = before is None or before.days_heard + 1 <= policy.cold_start
    silent = len(missing) == len(entities)
    result = adaptive.night(
        entities,
        calibration,
        ordinal,
        told.rows,
        told.values,
        budget=organisation.budget,
        groups=_groups(members),
        missing=missing,
        ceiling=_ceilings(members),
        learning=learning,
        policy=policy,
    )
    if not speaks:
        result, late = replace(result, alerts=adaptive.Alerts.none()), []
    kept = calibration if silent else result.calibration  # a day without telemetry is none
    folder = f"risk/{organisation.slug}/{weights.number}"
    night = RiskNight(
        organisation=organisation,
        weights=weights,
        day=day,
        policy=asdict(policy),
        budget=organisation.budget,
        mode=_mode(silent, learning, result),
        entities=len(entities),
        missing=len(missing),
        positive=len(told.rows),
        days_heard=(before.days_heard if before else 0) + (not silent),
        alerts=len(result.alerts.rows) + len(late),
        opened=int(result.alerts.opened.sum()) + len(late),
        fit=_figures(result),
        cold=None if learning else float(result.cold[0]),
        curve=result.curves.rows[0].tolist(),
        surprises=kept.h.astype("<f8").tobytes(),
        entity_periods=kept.entity_periods,
        days=kept.days,
        state_path=f"{folder}/{day}.arrow",
        thresholds_path=f"{folder}/{day}.thresholds",
        late_dropped=dropped,
        seconds=0.0,
    )
    night.state_digest = states.put(night.state_path, entities)
    states.put_thresholds(night.thresholds_path, entities.threshold)
    night.seconds = round(time.monotonic() - began, 3)
    _write(night, result, told, late, members, acted, entities, lifted)
    log.info("risk.night", organisation=organisation.slug, day=str(day), alerts=night.alerts, seconds=night.seconds)
    _discard(weights)
    return night


def values_of(weights: RiskWeights, day: date) -> Day:
    """Return what a day's scores amount to under some weights; late ones are left out."""
    scores = RiskScore.objects.filter(organisation=weights.organisation_id, day=day, late=False)
    told = scores.values_list("entity__row", "feature", "score").order_by("entity__row", "feature")
    columns = list(zip(*told.iterator(10_000), strict=True)) or [(), (), ()]
    rows, values, parts = adaptive.period_values(
        list(columns[0]), list(columns[1]), list(columns[2]), weights.weights, weights.groups
    )
    return Day(rows, values, parts)


def _before(before: RiskNight | None, number: int, ordinal: int, policy: Policy) -> tuple[Entities, Calibration]:
    """Return histories and calibration as the night before left them; who is new since has none."""
    if before is None:
        return Entities.fresh(number, ordinal, policy=policy), Calibration.fresh(policy)
    entities = states.get(before.state_path, before.state_digest)
    if number > len(entities):
        entities = entities.joined(Entities.fresh(number - len(entities), ordinal, policy=policy))
    h = np.frombuffer(bytes(before.surprises), "<f8").copy()
    return entities, Calibration(h, before.entity_periods, before.days)


def _members(organisation: Organisation, day: date) -> list[Entity]:
    """Return entities by row, up to the last one that existed on a day; younger ones may stand between."""
    last = organisation.entities.filter(since__lte=day).aggregate(last=Max("row"))["last"]
    rows = organisation.entities.filter(row__lte=-1 if last is None else last)
    return list(rows.order_by("row").only("name", "row", "peers", "ceiling", "since"))


def _missing(organisation: Organisation, day: date, members: list[Entity], told: Day) -> Any:
    """Return the rows of which nothing could be heard, or which did not exist yet.

    A day on which no feed spoke is no quiet day."""
    rows = MissingDay.objects.filter(organisation=organisation, day=day)
    heard = HeardDay.objects.filter(organisation=organisation, day=day).exists()
    if not heard or rows.filter(entity=None).exists():
        return np.setdiff1d(np.arange(len(members)), told.rows)
    absent = set(rows.values_list("entity__row", flat=True)) | {one.row for one in members if one.since > day}
    return np.setdiff1d(np.array(sorted(row for row in absent if row < len(members)), np.int64), told.rows)


def _told_before(weights: RiskWeights, day: date) -> bool:
    """Whether earlier weights have spoken of a day: a history that begins anew is learnt from old days, silently."""
    others = RiskNight.objects.filter(organisation=weights.organisation_id, day__gte=day)
    return others.exclude(weights=weights).filter(weights__number__lt=weights.number).exists()


def _groups(members: list[Entity]) -> Any:
    """Return the number of each entity's peer group, -1 for none; None where there are no groups."""
    names = np.array([entity.peers for entity in members], object).astype(str)
    if not (names != "").any():
        return None
    _found, codes = np.unique(names, return_inverse=True)
    return np.where(names == "", -1, codes)


def _ceilings(members: list[Entity]) -> Any:
    if all(entity.ceiling is None for entity in members):
        return None
    return np.array([np.inf if entity.ceiling is None else entity.ceiling for entity in members])


def _mode(silent: bool, learning: bool, result: Night) -> str:
    if silent:
        return RiskNight.Mode.SILENT
    if learning or result.fit is None:
        return RiskNight.Mode.LEARNING
    return RiskNight.Mode(result.fit.mode)


def _figures(result: Night) -> dict[str, float] | None:
    fit = result.fit
    if fit is None:
        return None
    names = ("zeta_target", "s_star", "s_u", "zeta_u", "hill", "q")
    return {name: float(getattr(fit, name)) for name in names}


@transaction.atomic
def _write(
    night: RiskNight,
    result: Night,
    told: Day,
    late: list[RiskAlert],
    members: list[Entity],
    acted: list[effects.Acted],
    entities: Entities,
    lifted: datetime | None,
) -> None:
    """Write the night with what follows from it."""
    night.save(force_insert=True)
    parts = dict(zip(told.rows.tolist(), told.parts, strict=True))
    alerts = result.alerts
    made = [
        RiskAlert(
            night=night,
            entity=members[row],
            day=night.day,
            value=float(alerts.value[index]),
            threshold=float(alerts.threshold[index]),
            surprise=float(alerts.surprise[index]),
            probability=float(alerts.probability[index]),
            score=float(alerts.score[index]),
            contributions=[[one.feature, one.value] for one in parts[row]],
            cold_start=bool(alerts.cold_start[index]),
            opened=bool(alerts.opened[index]),
        )
        for index, row in enumerate(alerts.rows.tolist())
    ]
    for alert in late:
        alert.night = night
    RiskAlert.objects.bulk_create([*made, *late], batch_size=500)
    effects.record(acted, night, entities)
    RiskScore.objects.filter(organisation=night.organisation, late=True, day__lt=night.day).update(late=False)
    if lifted:
        Organisation.objects.filter(pk=night.organisation_id, lift_asked_at=lifted).update(lift_asked_at=None)


def _discard(weights: RiskWeights) -> None:
    """Delete files that no later night reads. Pictures of thresholds look back two months."""
    nights = weights.nights.order_by("-day")
    for night in nights.exclude(state_path="").filter(pk__in=_older(nights, STATES_KEPT)):
        storage.delete(night.state_path)
        RiskNight.objects.filter(pk=night.pk).update(state_path="")
    for night in nights.exclude(thresholds_path="").filter(pk__in=_older(nights, THRESHOLDS_KEPT)):
        storage.delete(night.thresholds_path)
        RiskNight.objects.filter(pk=night.pk).update(thresholds_path="")


def _older(nights: QuerySet[RiskNight], kept: int) -> list[int]:
    """Return nights behind the newest `kept`: those that the last two months have not emptied yet."""
    return list(nights.values_list("pk", flat=True)[kept : kept + THRESHOLDS_KEPT])


def _latest(weights: RiskWeights) -> RiskNight | None:
    return weights.nights.order_by("-day").first()


def _first_day(organisation: Organisation) -> date | None:
    """Return where a history begins: with the first score; under new weights as far back as scores are kept."""
    days = RiskScore.objects.filter(organisation=organisation).order_by("day")
    return days.values_list("day", flat=True).first()
