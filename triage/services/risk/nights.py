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
from django.db.models import Min, QuerySet
from django.utils import timezone

from detection import adaptive
from detection.adaptive import POLICY, Calibration, Entities, Night, Policy
from jobs.services import jobs
from jobs.services.jobs import Lease
from traffic import storage
from triage.models import Entity, Organisation, RiskAlert, RiskNight, RiskScore, RiskWeights
from triage.services.risk import days, detectors, effects, states

TASK = "triage.tasks.close_risk_days"
KIND = "hosts at risk"
AFTER = timedelta(hours=2)  # a day closes so long after its midnight: feeds may be slow
STATES_KEPT = 3  # nights
THRESHOLDS_KEPT = 62  # nights: the report of rising thresholds and pictures look back
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """A day as the histories took it in."""

    members: list[Entity]  # by row
    told: days.Day
    missing: int
    entities: Entities  # after the day
    calibration: Calibration
    result: Night
    is_learning: bool
    acted: list[effects.Acted]
    late: list[RiskAlert]
    dropped: int  # scores that came too late

    @property
    def is_silent(self) -> bool:
        return self.missing == len(self.entities)


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
    detectors.take_in(organisation)
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
        day = latest.day + timedelta(days=1) if latest else _first_day(weights)
        while day is not None and day <= last:
            yield weights, day
            day += timedelta(days=1)


def in_use(organisation: Organisation) -> list[RiskWeights]:
    """Return whose alerts count, first, and what is learning to take its place.

    Weights that were replaced before they had a night are forgotten."""
    learning: list[RiskWeights] = []
    for weights in organisation.weightings.order_by("-number"):
        latest = _latest(weights)
        if latest and latest.days_heard >= POLICY.cold_start:
            return [weights, *learning]
        if latest or not learning:
            learning.insert(0, weights)
    return learning


def close(weights: RiskWeights, day: date, policy: Policy = POLICY) -> RiskNight:
    """Take one day in and return its night; the one there is when it was done before.

    Raises ValueError when the day before is not closed."""
    began = time.monotonic()
    organisation = weights.organisation
    before = _latest(weights)
    if before and before.day >= day:
        return RiskNight.objects.get(weights=weights, day=day)
    if before and before.day + timedelta(days=1) != day:
        raise ValueError(f"{day}: the day after {before.day} comes first")
    policy = replace(policy, budget=organisation.budget, floor=organisation.floor)
    speaks = in_use(organisation)[0] == weights and not _told_before(weights, day)
    taken = _take_in(weights, day, before, policy)
    if not speaks:
        taken = replace(taken, result=replace(taken.result, alerts=adaptive.Alerts.none()), late=[])
    night = _night(weights, day, before, policy, taken)
    night.state_digest = states.put(night.state_path, taken.entities)
    states.put_thresholds(night.thresholds_path, taken.entities.threshold)
    night.seconds = round(time.monotonic() - began, 3)
    _write(night, taken, organisation.lift_asked_at)
    log.info("risk.night", organisation=organisation.slug, day=str(day), alerts=night.alerts, seconds=night.seconds)
    _discard(weights)
    return night


def _take_in(weights: RiskWeights, day: date, before: RiskNight | None, policy: Policy) -> Taken:
    """Let labels and late scores act on the histories of the night before, and these take the day in."""
    organisation, ordinal = weights.organisation, day.toordinal()
    members = days.members_of(organisation, day)
    entities, calibration = _before(before, len(members), ordinal, policy)
    acted, calibration = effects.apply(weights, entities, calibration, ordinal, policy)
    if organisation.lift_asked_at:
        entities.lift(slice(None))
    late, dropped = effects.take_late(weights, entities, ordinal - 1, members, policy)
    told = days.values_of(weights, day)
    missing = days.missing_of(organisation, day, members, told)
    learning = before is None or before.days_heard + 1 <= policy.cold_start
    result = adaptive.night(
        entities,
        calibration,
        ordinal,
        told.rows,
        told.values,
        budget=organisation.budget,
        groups=days.groups_of(members),
        missing=missing,
        ceiling=days.ceilings_of(members),
        learning=learning,
        policy=policy,
    )
    # a day without telemetry is none: the calibration stays
    kept = calibration if len(missing) == len(entities) else result.calibration
    return Taken(members, told, len(missing), entities, kept, result, learning, acted, late, dropped)


def _night(weights: RiskWeights, day: date, before: RiskNight | None, policy: Policy, taken: Taken) -> RiskNight:
    """Return the row of a night, not written yet."""
    result, folder = taken.result, f"risk/{weights.organisation.slug}/{weights.number}"
    return RiskNight(
        organisation=weights.organisation,
        weights=weights,
        day=day,
        policy=asdict(policy),
        budget=policy.budget,
        mode=_mode(taken),
        entities=len(taken.entities),
        missing=taken.missing,
        positive=len(taken.told.rows),
        days_heard=(before.days_heard if before else 0) + (not taken.is_silent),
        alerts=len(result.alerts.rows) + len(taken.late),
        opened=int(result.alerts.opened.sum()) + len(taken.late),
        fit=_figures(result),
        cold=None if taken.is_learning else float(result.cold[0]),
        curve=result.curves.rows[0].tolist(),
        peer_curves=_peer_curves(taken),
        surprises=taken.calibration.h.astype("<f8").tobytes(),
        entity_periods=taken.calibration.entity_periods,
        days=taken.calibration.days,
        state_path=f"{folder}/{day}.arrow",
        thresholds_path=f"{folder}/{day}.thresholds",
        late_dropped=taken.dropped,
    )


def _peer_curves(taken: Taken) -> dict[str, dict[str, Any]]:
    """Return the curves of peer groups by name, each with the threshold of a newcomer."""
    curves, cold = taken.result.curves, taken.result.cold
    found = {}
    for row in range(1, len(curves.rows)):
        member = taken.members[int(np.argmax(curves.member == row))]
        told = None if taken.is_learning else float(cold[row])
        found[member.peers] = {"curve": curves.rows[row].tolist(), "cold": told}
    return found


def _before(before: RiskNight | None, number: int, ordinal: int, policy: Policy) -> tuple[Entities, Calibration]:
    """Return histories and calibration as the night before left them; who is new since has none."""
    if before is None:
        return Entities.fresh(number, ordinal, policy=policy), Calibration.fresh(policy)
    entities = states.get(before.state_path, before.state_digest)
    if number > len(entities):
        entities = entities.joined(Entities.fresh(number - len(entities), ordinal, policy=policy))
    h = np.frombuffer(bytes(before.surprises), "<f8").copy()
    return entities, Calibration(h, before.entity_periods, before.days)


def _told_before(weights: RiskWeights, day: date) -> bool:
    """Whether earlier weights have spoken of a day: a history that begins anew is learnt from old days, silently."""
    others = RiskNight.objects.filter(organisation=weights.organisation_id, day__gte=day)
    return others.exclude(weights=weights).filter(weights__number__lt=weights.number).exists()


def _mode(taken: Taken) -> str:
    if taken.is_silent:
        return RiskNight.Mode.SILENT
    if taken.is_learning or taken.result.fit is None:
        return RiskNight.Mode.LEARNING
    return RiskNight.Mode(taken.result.fit.mode)


def _figures(result: Night) -> dict[str, float] | None:
    fit = result.fit
    if fit is None:
        return None
    names = ("zeta_target", "s_star", "s_u", "zeta_u", "hill", "q")
    return {name: float(getattr(fit, name)) for name in names}


@transaction.atomic
def _write(night: RiskNight, taken: Taken, lifted: datetime | None) -> None:
    """Write the night with what follows from it."""
    night.save(force_insert=True)
    parts = dict(zip(taken.told.rows.tolist(), taken.told.parts, strict=True))
    alerts = taken.result.alerts
    made = [
        RiskAlert(
            night=night,
            entity=taken.members[row],
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
    for alert in taken.late:
        alert.night = night
    RiskAlert.objects.bulk_create([*made, *taken.late], batch_size=500)
    effects.record(taken.acted, night, taken.entities)
    RiskScore.objects.under(night.weights).filter(late=True, day__lt=night.day).update(late=False)
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


def _first_day(weights: RiskWeights) -> date | None:
    """Return where a history begins: as far back as scores are kept, of what others tell and of our own detectors."""
    scores = RiskScore.objects.under(weights)
    others, own = (scores.filter(version=0), scores.exclude(version=0))
    begins = [one.aggregate(first=Min("day"))["first"] for one in (others, own)]
    return max((day for day in begins if day is not None), default=None)
