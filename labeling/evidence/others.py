"""What others say of a session beside the sensor's rules: other expert systems, and lists of indicators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from labeling.evidence.session import Evidence
from labeling.models import Item
from models_registry.services import indicators
from traffic.models import OutsideHit

MOST_HITS = 50  # of other systems, on one session


@dataclass(frozen=True)
class Others:
    """What is known now; it takes several questions, so it is asked after the session is on screen."""

    item: Item

    @cached_property
    def hits(self) -> list[OutsideHit]:
        """What other expert systems said about this session."""
        return list(OutsideHit.objects.of_session(self.item.subject_key)[:MOST_HITS])

    @property
    def copied_hits(self) -> list[dict[str, Any]]:
        """What only the item's copy tells of: the systems' own rows go as sessions do."""
        told = {hit.system for hit in self.hits}
        return [hit for hit in Evidence(self.item).copied_hits if hit["category"] not in told]

    @cached_property
    def indicators(self) -> list[indicators.Told]:
        """What the lists in force say about this session; nothing where a list cannot be read."""
        row: Mapping[str, Any] = Evidence(self.item).row
        try:
            return indicators.of_row(row)
        except OSError:
            return []
