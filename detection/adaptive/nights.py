"""One period of an organisation: thresholds from the state before, the scores of its values, the state after."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.adaptive.calibration import Calibration, Fit, fit
from detection.adaptive.curves import Curves, organisation_curve, raw_threshold, raw_thresholds, surprise, tail
from detection.adaptive.entities import Entities, guarded, refuse_values
from detection.adaptive.policy import POLICY, Floats, Policy

Rows = NDArray[np.int64]
RISING = 1.6  # in 30 periods
MOST_RISING = 10
STORM = 3.0  # budgets


@dataclass(frozen=True, slots=True)
class Alerts:
    """Values above their threshold, each array [A], in the order of the rows."""

    rows: Rows
    value: Floats
    threshold: Floats
    surprise: Floats
    probability: Floats
    score: Floats
    cold_start: NDArray[np.bool_]
    opened: NDArray[np.bool_]  # False: over budget, stored and shown as one group

    @classmethod
    def none(cls) -> Alerts:
        nothing, no = np.zeros(0), np.zeros(0, bool)
        return cls(np.zeros(0, np.int64), nothing, nothing, nothing, nothing, nothing, no, no)


@dataclass(frozen=True, slots=True)
class Night:
    """What a period gave."""

    curves: Curves
    cold: Floats  # threshold of a newcomer, per curve
    fit: Fit | None  # None while the organisation only learns
    calibration: Calibration
    alerts: Alerts


def night(
    entities: Entities,
    calibration: Calibration,
    period: int,
    rows: Any,
    values: Any,
    *,
    budget: float,
    groups: Any = None,
    missing: Any = (),
    ceiling: Any = None,
    learning: bool = False,
    policy: Policy = POLICY,
) -> Night:
    """Take one period in; entities are changed in place.

    rows, values: entities with a positive value, each once. missing: rows without telemetry. groups: peer group of each
    entity [N], -1 for none. learning: the first periods of an organisation without history. Raises ValueError."""
    rows, values = np.asarray(rows, np.int64), np.asarray(values, float)
    refuse_values(values)
    if len(np.unique(rows)) != len(rows):
        raise ValueError("rows: an entity has one value a period")
    positive = values > 0
    rows, values = rows[positive], values[positive]
    absent = np.asarray(missing, np.int64)
    if len(np.intersect1d(absent, rows)):
        raise ValueError("missing: an entity with a value was not missing")
    factor, weight, seen = entities.as_of(period - 1, policy)
    curves = _curves(entities, factor, weight, groups, policy)
    if learning:
        cold, found = np.full(len(curves.rows), np.inf), None
    else:
        found = _fit(calibration, budget, len(entities), policy)
        empty = np.zeros(policy.bins)
        cold = np.array([raw_threshold(row, empty, 0.0, found.q, policy) for row in curves.rows])
        raw = raw_thresholds(curves, entities.counts, weight, found.q, factor=factor, policy=policy)
        stepped = guarded(seen, raw, entities.threshold, cold[curves.member], policy)
        stepped[absent] = entities.threshold[absent]
        if ceiling is not None:
            stepped = np.minimum(stepped, np.asarray(ceiling, float))
        entities.threshold[:] = stepped
    alerts, surprises = _alerts(entities, curves, cold, factor, weight, seen, rows, values, found, budget, policy)
    if found is not None:
        calibration = calibration.added(surprises, len(entities) - len(absent), policy)
    entities.miss(absent)
    entities.add(rows, period, values, policy=policy)
    return Night(curves, cold, found, calibration, alerts)


def _fit(calibration: Calibration, budget: float, entities: int, policy: Policy) -> Fit:
    """Return the cut; as long as nothing is calibrated, the budget's share of the entities."""
    if calibration.entity_periods > 0 or not entities:
        return fit(calibration, budget, policy)
    return fit(calibration, min(1.0, budget / entities), policy)


def _curves(entities: Entities, factor: Floats, weight: Floats, groups: Any, policy: Policy) -> Curves:
    """Return the organisation's curve and those of peer groups that are large enough."""
    member = np.zeros(len(entities), np.int32)
    decayed = entities.counts * factor[:, None].astype(entities.counts.dtype)
    rows = [organisation_curve(decayed, weight, policy=policy)]
    if groups is not None:
        named = np.asarray(groups)
        for group in np.unique(named[named >= 0]).tolist():
            inside = named == group
            if inside.sum() >= policy.peers and weight[inside].sum() >= policy.peer_periods:
                member[inside] = len(rows)
                rows.append(organisation_curve(decayed[inside], weight[inside], policy=policy))
    return Curves(np.array(rows), member)


def _alerts(
    entities: Entities,
    curves: Curves,
    cold: Floats,
    factor: Floats,
    weight: Floats,
    seen: NDArray[np.int64],
    rows: Rows,
    values: Floats,
    found: Fit | None,
    budget: float,
    policy: Policy,
) -> tuple[Alerts, Floats]:
    """Return the alerts, and the surprises of all positive values."""
    own = entities.counts[rows] * factor[rows, None]
    surprises = surprise(tail(curves.rows[curves.member[rows]], own, weight[rows], values, policy), policy)
    above = values > entities.threshold[rows] if found is not None else np.zeros(len(rows), bool)
    told, chosen, s = rows[above], values[above], surprises[above]
    score = found.score(s) if found is not None else np.zeros(0)
    probability = found.probability(s) if found is not None else np.zeros(0)
    exempt = chosen > policy.cap * cold[curves.member[told]]
    alerts = Alerts(
        told,
        chosen,
        entities.threshold[told].astype(float),
        s,
        probability,
        score,
        seen[told] < policy.cold_start,
        storm(score, s, exempt, budget),
    )
    return alerts, surprises


def storm(score: Floats, surprises: Floats, exempt: Any, budget: float) -> NDArray[np.bool_]:
    """Return which alerts open: in a storm the highest, by score and surprise, and all that are exempt."""
    most = math.ceil(STORM * budget)
    opened = np.zeros(len(score), bool)
    opened[np.lexsort((-surprises, -score))[:most]] = True
    shown: NDArray[np.bool_] = opened | np.asarray(exempt, bool)
    return shown


def rising(threshold: Any, before: Any, labelled: Any) -> Rows:
    """Return entities whose threshold crept up within 30 periods without an accepted label, steepest first.

    threshold: in force, before: 30 periods ago, labelled: whether a label allowed it, each [N]."""
    now, then = np.asarray(threshold, float), np.asarray(before, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(np.isfinite(now) & np.isfinite(then) & (then > 0), now / then, 0.0)
    crept = np.flatnonzero((ratio > RISING) & ~np.asarray(labelled, bool))
    return crept[np.argsort(-ratio[crept], kind="stable")][:MOST_RISING]
