"""What is known of a day of an organisation: who belonged to it, what was said of whom, of whom nothing was heard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from django.db.models import Max

from detection import adaptive
from detection.adaptive import Contribution
from triage.models import Entity, HeardDay, MissingDay, Organisation, RiskScore, RiskWeights


@dataclass(frozen=True, slots=True)
class Day:
    """What is known of a day: rows of entities with a value, their values and what these are made of."""

    rows: Any
    values: Any
    parts: list[list[Contribution]]


def values_of(weights: RiskWeights, day: date) -> Day:
    """Return what a day's scores amount to under some weights; late ones are left out."""
    scores = RiskScore.objects.under(weights).filter(day=day, late=False)
    told = scores.values_list("entity__row", "feature", "score").order_by("entity__row", "feature")
    columns = list(zip(*told.iterator(10_000), strict=True)) or [(), (), ()]
    rows, values, parts = adaptive.period_values(
        list(columns[0]), list(columns[1]), list(columns[2]), weights.weights, weights.groups
    )
    return Day(rows, values, parts)


def members_of(organisation: Organisation, day: date) -> list[Entity]:
    """Return entities by row, up to the last one that existed on a day; younger ones may stand between."""
    last = organisation.entities.filter(since__lte=day).aggregate(last=Max("row"))["last"]
    rows = organisation.entities.filter(row__lte=-1 if last is None else last)
    return list(rows.order_by("row").only("name", "row", "peers", "ceiling", "since"))


def missing_of(organisation: Organisation, day: date, members: list[Entity], told: Day) -> Any:
    """Return the rows of which nothing could be heard, or which did not exist yet.

    A day on which no feed spoke is no quiet day."""
    rows = MissingDay.objects.filter(organisation=organisation, day=day)
    heard = HeardDay.objects.filter(organisation=organisation, day=day).exists()
    if not heard or rows.filter(entity=None).exists():
        return np.setdiff1d(np.arange(len(members)), told.rows)
    absent = set(rows.values_list("entity__row", flat=True)) | {one.row for one in members if one.since > day}
    return np.setdiff1d(np.array(sorted(row for row in absent if row < len(members)), np.int64), told.rows)


def groups_of(members: list[Entity]) -> Any:
    """Return the number of each entity's peer group, -1 for none; None where there are no groups."""
    names = np.array([entity.peers for entity in members], object).astype(str)
    if not (names != "").any():
        return None
    _found, codes = np.unique(names, return_inverse=True)
    return np.where(names == "", -1, codes)


def ceilings_of(members: list[Entity]) -> Any:
    if all(entity.ceiling is None for entity in members):
        return None
    return np.array([np.inf if entity.ceiling is None else entity.ceiling for entity in members])
