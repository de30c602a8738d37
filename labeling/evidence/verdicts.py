"""What versions say of a session, as bars on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from detection.contract import encode
from detection.thresholds import raw_threshold
from labeling.models import Item
from labeling.services.records import from_json
from labeling.services.verdicts import verdict_of
from models_registry.models import Stage, Version
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
    """Return what every version says of the session: those that score now, later ones than the item's included, and
    retired ones as they said when the item was made."""
    found = Version.objects.scoring().filter(detector_id=item.detector_id).select_related("detector")
    now = {version.number: _bar_today(version, row) for version in found}
    retired = {
        said["version"]: Bar.of(said | {"stage": Stage.RETIRED.value})
        for said in from_json(item.record.scores)
        if said["version"] not in now
    }
    return [bar for _number, bar in sorted((retired | now).items())]


def _bar_today(version: Version, row: Mapping[str, Any]) -> Bar:
    columns = {name: [value] for name, value in row.items()}
    raw = float(versions.scorer(version).raw(encode(versions.contract(version), columns))[0])
    return Bar.of(verdict_of(version, raw, version.threshold, raw >= raw_threshold(version.threshold)))
