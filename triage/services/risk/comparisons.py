"""The past of an entity beside the habits of organisations: the same day is told in one and not in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from detection.adaptive import POLICY, raw_threshold, tail
from triage.models import Entity, Organisation, RiskNight
from triage.services.risk import nights, states

RARITIES = (0.01, 0.001, 0.0001)  # tail probabilities of a day
VALUES = (1.5, 15.0, 40.0)  # of a day, in full-score features
MOST = 6  # organisations beside its own


@dataclass(frozen=True, slots=True)
class Line:
    """One past beside one habit."""

    organisation: Organisation
    is_newcomer: bool  # nobody's past: the habit alone
    is_own: bool  # the organisation it belongs to
    thresholds: Sequence[float]  # by RARITIES, without guards
    days: Sequence[int | None]  # by VALUES: one in so many days is larger; None: hardly ever


def of_entity(entity: Entity) -> list[Line]:
    """Return the past of an entity beside the habit of its organisation and of others, each above a newcomer's."""
    own = _newest(entity.organisation)
    state = states.row_of(own.state_path, entity.row) if own and own.state_path else None
    if own is None or state is None:
        return []
    factor, weight, _seen = state.as_of(own.day.toordinal())
    past, periods = state.counts[0] * factor[0], float(weight[0])
    lines = []
    for night in [own, *_others(entity.organisation)]:
        peers = entity.peers if night is own else ""
        lines.append(line(night, past, periods, is_own=night is own, peers=peers))
        lines.append(line(night, np.zeros(POLICY.bins), 0.0, is_own=night is own, is_newcomer=True, peers=peers))
    return lines


def line(
    night: RiskNight, past: Any, periods: float, *, is_own: bool, is_newcomer: bool = False, peers: str = ""
) -> Line:
    """Return a past [bins] of so many days beside the habit of a night, of a group of peers where it has its own."""
    habit = np.asarray(night.habit_of(peers)[0], float)
    rare = tail(habit, past, periods, np.array(VALUES))
    return Line(
        organisation=night.organisation,
        is_newcomer=is_newcomer,
        is_own=is_own,
        thresholds=[raw_threshold(habit, past, periods, q) for q in RARITIES],
        days=[round(1 / p) if p > 1e-9 else None for p in rare.tolist()],
    )


def _others(own: Organisation) -> list[RiskNight]:
    found = map(_newest, Organisation.objects.exclude(pk=own.pk).order_by("name")[:MOST])
    return [night for night in found if night is not None]


def _newest(organisation: Organisation) -> RiskNight | None:
    """Return the newest night that knows a habit."""
    spoken = nights.in_use(organisation)[0]
    heard = spoken.nights.exclude(mode=RiskNight.Mode.SILENT).exclude(state_path="")
    return heard.select_related("organisation").defer("surprises", "policy").order_by("-day").first()
