"""What experts said about alerts, and scores that came late, act on the histories when the next night begins."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date

import numpy as np
from django.db.models import QuerySet
from django.utils import timezone

from accounts.services import audit
from detection import adaptive
from detection.adaptive import Calibration, Entities, Policy
from labeling.models import Answer, Label, ReasonCode
from triage.models import Entity, MissingDay, RiskAlert, RiskNight, RiskScore, RiskWeights

CONFIRMED, ORDINARY, OF_PEERS, NOTHING = "confirmed", "ordinary", "of-peers", "nothing"


@dataclass(frozen=True, slots=True)
class Acted:
    """A label that acted: what it did, and the threshold before it."""

    alert: RiskAlert
    effect: str
    label: Label | None
    threshold: float


def apply(
    weights: RiskWeights,
    entities: Entities,
    calibration: Calibration,
    ordinal: int,
    policy: Policy,
) -> tuple[list[Acted], Calibration]:
    """Let labels act on histories as the night before left them; `ordinal` is the day that is taken in next."""
    done = ordinal - 1
    acted = []
    for alert in _settled(weights):
        row, age = alert.entity.row, max(done - alert.day.toordinal(), 0)
        if row >= len(entities):
            continue
        effect, label = effect_of(alert)
        before = float(entities.threshold[row])
        if effect != NOTHING:
            entities.settle(np.array([row]), done, policy)
        if effect == CONFIRMED:
            entities.take_out(row, alert.value, alert.threshold, age, policy)
            if not alert.late:  # what came late never was in the calibration
                calibration = calibration.without(alert.surprise, age, policy)
        elif effect in (ORDINARY, OF_PEERS):
            entities.accept(row, alert.value, alert.threshold, age, policy)
            if effect == OF_PEERS and alert.entity.peers:
                entities.lift(_rows_of_peers(alert.entity, len(entities)))
        acted.append(Acted(alert, effect, label, before))
    return acted, calibration


def effect_of(alert: RiskAlert) -> tuple[str, Label | None]:
    """Return what the answer in force makes of a settled alert, and the newest label that says so."""
    item = alert.item
    assert item is not None
    label = item.labels.current().filter(answer=item.outcome).order_by("-id").first()
    if item.outcome == Answer.POSITIVE:
        return CONFIRMED, label
    if item.outcome == Answer.NEGATIVE:
        return (OF_PEERS if label and label.reason_code == ReasonCode.PEERS else ORDINARY), label
    return NOTHING, label


def record(acted: list[Acted], night: RiskNight, entities: Entities) -> None:
    """Mark labels as done, and write down what each did to a threshold. Call in the night's transaction."""
    for one in acted:
        RiskAlert.objects.filter(pk=one.alert.pk).update(applied_at=timezone.now(), effect=one.effect)
        if one.effect == NOTHING:
            continue
        audit.record(
            one.label.expert if one.label else None,
            f"risk.{one.effect}",
            str(one.alert.entity),
            organisation=night.organisation.name,
            day=str(one.alert.day),
            threshold_before=_told(one.threshold),
            threshold_after=_told(float(entities.threshold[one.alert.entity.row])),
        )


def take_late(
    weights: RiskWeights, entities: Entities, done: int, members: list[Entity], policy: Policy
) -> tuple[list[RiskAlert], int]:
    """Add values of earlier days to the histories; return the alerts they are by today's thresholds, and how many
    came too late. `done`: the newest day that was taken in."""
    days: dict[date, list[tuple[int, str, float]]] = defaultdict(list)
    scores = RiskScore.objects.under(weights).filter(late=True, day__lte=date.fromordinal(done))
    for day, row, feature, score in scores.values_list("day", "entity__row", "feature", "score"):
        days[day].append((row, feature, score))
    alerts, dropped = [], 0
    for day, told in sorted(days.items()):
        rows, values, parts = adaptive.period_values(
            [one[0] for one in told], [one[1] for one in told], [one[2] for one in told],
            weights.weights, weights.groups,
        )  # fmt: skip
        missing = _missing_on(weights, day)
        for row, value, part in zip(rows.tolist(), values.tolist(), parts, strict=True):
            threshold = float(entities.threshold[row])
            is_missing = missing is None or row in missing
            if not entities.add_late(row, day.toordinal(), value, done, missing=is_missing, policy=policy):
                dropped += 1
            elif value > threshold:
                contributions = [[one.feature, one.value] for one in part]
                alerts.append(_alert(members[row], day, value, threshold, contributions))
    return alerts, dropped


def _alert(entity: Entity, day: date, value: float, threshold: float, contributions: list[list[object]]) -> RiskAlert:
    """Return an alert without surprise: the calibration of its own day is gone."""
    return RiskAlert(
        entity=entity,
        day=day,
        value=value,
        threshold=threshold,
        surprise=0.0,
        probability=1.0,
        score=50.0,
        contributions=contributions,
        cold_start=False,
        opened=True,
        late=True,
    )


def _missing_on(weights: RiskWeights, day: date) -> set[int] | None:
    """Return the rows that were missing on a closed day; None when all were."""
    if weights.nights.filter(day=day, mode=RiskNight.Mode.SILENT).exists():
        return None
    rows = MissingDay.objects.filter(organisation=weights.organisation_id, day=day).exclude(entity=None)
    return set(rows.values_list("entity__row", flat=True))


def _settled(weights: RiskWeights) -> QuerySet[RiskAlert]:
    alerts = RiskAlert.objects.unapplied().filter(night__weights=weights)
    return alerts.select_related("entity", "item").order_by("id")


def _rows_of_peers(entity: Entity, number: int) -> np.ndarray:
    rows = Entity.objects.filter(organisation=entity.organisation_id, peers=entity.peers, row__lt=number)
    return np.array(list(rows.values_list("row", flat=True)), np.int64)


def _told(threshold: float) -> float | None:
    """Return a threshold for JSON, which has no infinity."""
    return threshold if np.isfinite(threshold) else None
