"""The threshold dial with what experts answered: the store knows scores and reference rows, proof rows are ours."""

from __future__ import annotations

import numpy as np

from detection.dial import Forward
from detection.thresholds import least_raw, raw_threshold
from labeling.services import proofs
from models_registry.models import Version
from models_registry.services import dials
from models_registry.services.dials import Dial


def dial_of(version: Version, *, false_positive_cost: float, miss_cost: float, also: float | None = None) -> Dial:
    """Return the dial of a version at some costs, with another threshold that somebody asks about."""
    return dials.dial_of(
        version,
        forward=_forward(version),
        false_positive_cost=false_positive_cost,
        miss_cost=miss_cost,
        also=also,
    )


def _forward(version: Version) -> Forward | None:
    found = proofs.scored_rows(version)
    if not found:
        return None
    raw = np.array([least_raw(score) for _row, score in found])
    return Forward([row for row, _score in found], raw, raw_threshold(version.threshold))
