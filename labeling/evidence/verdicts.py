"""What versions say of a session, as bars on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from detection.contract import encode
from detection.thresholds import raw_threshold
from labeling.models import Item
from labeling.services.verdicts import verdict_of
from models_registry.models import Version
from models_registry.services import versions


@dataclass(frozen=True, slots=True)
class Bar:
    """One version's score beside its threshold, ready to be drawn on a scale of 0 to 100."""

    version: int
    stage: str
    score: float
    threshold: float
    verdict: bool

    @classmethod
    def of(cls, verdict: Mapping[str, Any]) -> Bar:
        return cls(
            verdict["version"],
            verdict["stage"],
            verdict["score"],
            verdict["threshold"],
            verdict["verdict"],
        )

    @property
    def width(self) -> str:
        return f"{self.score * 100:.2f}"

    @property
    def mark(self) -> str:
        return f"{self.threshold * 100:.2f}"


def bars_today(item: Item, row: Mapping[str, Any]) -> list[Bar]:
    """Return what every version that is not retired says of the session, later ones than the item's included."""
    found = Version.objects.scoring().filter(detector_id=item.detector_id).select_related("detector")
    bars = []
    for version in found.order_by("number"):
        columns = {name: [value] for name, value in row.items()}
        raw = float(versions.scorer(version).raw(encode(versions.contract(version), columns))[0])
        verdict = raw >= raw_threshold(version.threshold)
        bars.append(Bar.of(verdict_of(version, raw, version.threshold, verdict)))
    return bars
