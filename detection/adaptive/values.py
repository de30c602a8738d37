"""Risk scores of a period → one value per entity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.adaptive.policy import Floats

_ABOVE = 0.4  # exponent for scores above 100


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a feature added to an entity's value."""

    feature: str
    value: float


def period_values(
    entity: NDArray[np.int64] | Sequence[int],
    feature: Sequence[str],
    score: Floats | Sequence[float],
    weights: Mapping[str, float],
    groups: Mapping[str, str],
    *,
    most: int = 3,
) -> tuple[NDArray[np.int64], Floats, list[list[Contribution]]]:
    """Return the entities with a positive value, their values, and the largest contributions to each.

    entity, feature, score: one row per scored event, score nominally 0 to 100. A feature counts by its largest score,
    a group of features that measure the same by its largest product of weight and score; weight 1 and a group of its
    own where none is named. Raises ValueError for scores that are negative or not finite, and for such weights."""
    rows, values = np.asarray(entity, np.int64), np.asarray(score, float)
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(f"score: expected 0 or more, got {values[~(np.isfinite(values) & (values >= 0))][0]}")
    if wrong := [name for name, weight in weights.items() if not np.isfinite(weight) or weight < 0]:
        raise ValueError(f"weight of {wrong[0]}: expected 0 or more, got {weights[wrong[0]]}")
    names, codes = np.unique(np.asarray(feature, object).astype(str), return_inverse=True)
    weighted = np.array([weights.get(name, 1.0) for name in names.tolist()])[codes] * _squeezed(values / 100)
    group_names, group_codes = np.unique(
        [groups.get(name, f"\0{name}") for name in names.tolist()], return_inverse=True
    )
    key = rows * max(len(group_names), 1) + group_codes[codes] if len(rows) else rows
    order = np.lexsort((-weighted, key))
    first = order[np.flatnonzero(np.diff(key[order], prepend=-1))]  # the largest of each entity and group
    first = first[weighted[first] > 0]
    found, place = np.unique(rows[first], return_inverse=True)
    totals = np.bincount(place, weights=weighted[first], minlength=len(found)).astype(np.float64)
    return found, totals, _largest(first, place, len(found), names, codes, weighted, most)


def _squeezed(u: Floats) -> Floats:
    result: Floats = np.where(u <= 1, u, np.power(u, _ABOVE))
    return result


def _largest(
    first: Any, place: Any, entities: int, names: Any, codes: Any, weighted: Floats, most: int
) -> list[list[Contribution]]:
    parts: list[list[Contribution]] = [[] for _ in range(entities)]
    for row in np.lexsort((names[codes[first]], -weighted[first])).tolist():
        told = parts[int(place[row])]
        if len(told) < most:
            told.append(Contribution(str(names[codes[first[row]]]), float(weighted[first[row]])))
    return parts
