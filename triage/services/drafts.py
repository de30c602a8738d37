"""Confirmed unique detects for those who write rules and share indicators: drafts, checked where the program is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from detection import drafts
from detection.selection import Cell
from labeling.models import Answer, Item, ItemState
from labeling.services.labels import UNDO_WITHIN
from labeling.services.records import from_json
from traffic.services import suricata


@dataclass(frozen=True, slots=True)
class Rule:
    """A draft, and what Suricata said of it."""

    text: str
    checked: str


def is_unique_detect(item: Item) -> bool:
    """Say whether experts confirmed what only the model found, and can no longer take it back."""
    settled = item.settled_at is not None and item.settled_at <= timezone.now() - UNDO_WITHIN
    is_unique = item.cell == Cell.UNIQUE and item.outcome == Answer.POSITIVE
    return item.state == ItemState.SETTLED and settled and is_unique


def rule(item: Item) -> Rule:
    """Return a draft of a Suricata rule."""
    title = f"{item.detector.name} item {item.pk}"
    text = drafts.suricata_rule(from_json(item.record.row), sid=drafts.FIRST_SID + item.pk, title=title)
    try:
        problem = suricata.problem_with(text)
    except suricata.SuricataError:
        return Rule(f"# not checked: there is no Suricata on this machine\n{text}\n", "nobody")
    told = f"# Suricata refuses it: {problem}" if problem else "# checked by Suricata"
    return Rule(f"{told}\n{text}\n", "suricata")


def misp_event(item: Item) -> dict[str, Any]:
    """Return a MISP event."""
    return drafts.misp_event(
        from_json(item.record.row),
        title=item.title,
        detector=item.detector.name,
        day=item.first_at.date(),
        sightings=item.sessions,
    )
