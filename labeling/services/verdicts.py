"""What versions and rules said of a session, as it is stored with an item."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from detection.scoring import probability
from models_registry.models import ScoreFile, Stage, Version
from models_registry.services.scoring import read_scores
from traffic.models import Segment


def verdicts_of(file: ScoreFile) -> Callable[[int], Iterator[dict[str, Any]]]:
    """Return a function from row number to what each version that scored the segment said."""
    files = ScoreFile.objects.filter(segment_id=file.segment_id, version__detector_id=file.version.detector_id)
    scored = [
        (other, read_scores(other, columns=["raw", "verdict"]))
        for other in files.exclude(version__stage=Stage.RETIRED)
        .select_related("version__detector", "segment")
        .order_by("version__number")
    ]

    def verdicts(number: int) -> Iterator[dict[str, Any]]:
        for other, table in scored:
            raw = table["raw"][number].as_py()
            yield verdict_of(other.version, raw, other.threshold, table["verdict"][number].as_py())

    return verdicts


def verdict_of(version: Version, raw: float, threshold: float, verdict: bool) -> dict[str, Any]:
    """Return one bar of the labelling page."""
    return {
        "version": version.number,
        "stage": version.stage,
        "score": float(probability(raw)),
        "raw": raw,
        "threshold": threshold,
        "verdict": verdict,
    }


def rule_set_of(segment: Segment) -> str:
    """Return the rules the sensor ran: "et-open (26,694 rules)", empty where nobody said."""
    rules = segment.rule_set
    if rules is None:
        return ""
    return f"{rules.name} ({rules.rules:,} rules)" if rules.declared else rules.name
