"""From one session to others in all stored traffic: look-alikes by the look, neighbours as a version sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detection.contract import CONTRACTS
from detection.features import feature_names
from detection.filters import quoted
from detection.filters.looks import look_of, write_look
from detection.neighbours import Difference, make_index
from detection.sessions import Row
from labeling.services import hunts
from labeling.services.neighbours import features_of, gains_of
from labeling.services.records import host_of, identity
from models_registry.models import Version
from models_registry.services.hunt_counts import Counts, count
from models_registry.services.hunts import nearest_scores, whole_rows

LOOKED_AT = 2_000  # sessions whose scores are nearest; of these all features are computed
NEAREST = 200  # of them, by features; they fold by look
SHOWN = 12  # looks


@dataclass(frozen=True, slots=True)
class Near:
    """Sessions of one look that lie near: the nearest of them, and how many there are."""

    rid: int
    row: Row
    look: str  # a filter
    distance: float
    differences: Sequence[Difference]
    sessions: int
    hosts: int


@dataclass(frozen=True, slots=True)
class Neighbours:
    version: Version
    looked_at: int
    near: Sequence[Near]


def look_filter(row: Row) -> str:
    """Return the filter that all look-alikes of a session pass, itself among them."""
    return f"look == {quoted(write_look(look_of(row)))}"


def look_alikes(row: Row) -> Counts:
    """Return how many stored sessions look like one."""
    return count(hunts.prepare(look_filter(row)))


def neighbours(row: Row, version: Version, raw: float) -> Neighbours:
    """Return stored sessions that lie near as a version sees them, one row per look, the nearest first.

    Sessions in the same leaves have the same score: only the LOOKED_AT nearest by score are looked at closely.
    raw: the score of the session itself, as a raw sum. Other look-alikes of it are neighbours too."""
    hunt = hunts.prepare(f"model({quoted(str(version))}).score != null")
    found = whole_rows(hunt, nearest_scores(hunt, version, raw, LOOKED_AT))
    rows = {rid: other for rid, other in found.items() if identity(other) != identity(row)}
    if not rows:
        return Neighbours(version, 0, [])
    contract = CONTRACTS[version.contract]
    values = features_of(contract, [row, *rows.values()])
    index = make_index(contract, gains_of(version), list(rows), values[1:])
    own = dict(zip(feature_names(contract), np.asarray(values[0]).tolist(), strict=True))
    looks: dict[str, list[tuple[int, float, Sequence[Difference]]]] = {}
    for one in index.nearest(own, NEAREST):
        place = (one.key, one.distance, one.differences)
        looks.setdefault(look_filter(rows[one.key]), []).append(place)
    return Neighbours(version, len(rows), [_near(look, some, rows) for look, some in list(looks.items())[:SHOWN]])


def _near(look: str, some: Sequence[tuple[int, float, Sequence[Difference]]], rows: dict[int, Row]) -> Near:
    rid, distance, differences = some[0]
    hosts = {host_of(rows[key]) for key, _distance, _differences in some}
    return Near(rid, rows[rid], look, distance, differences, len(some), len(hosts))
