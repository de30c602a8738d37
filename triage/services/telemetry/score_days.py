"""How scores lay at each site, day by day: added to as hours come, for the thresholds that fit a site."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from typing import Any

from triage.models import ScoreDay, TelemetryWindow


class ScoreSums:
    """Days of sites as they grow."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, int, date], Counter[str]] = defaultdict(Counter)

    def go_on(self, day: date, customers: Iterable[int]) -> None:
        """Begin with what was summed of a day before."""
        for row in ScoreDay.objects.filter(day=day, site__customer__in=list(customers)):
            self._counts[row.site_id, row.version_id, day].update(row.counts)

    def add(self, window: TelemetryWindow, version: int, told: dict[str, Any]) -> None:
        """Add what an hour tells of a model; the first appliances tell no scores."""
        if scores := told.get("scores"):
            self._counts[window.appliance.site_id, version, window.day].update(scores)

    def write(self) -> None:
        days = [
            ScoreDay(site_id=key[0], version_id=key[1], day=key[2], sessions=counts.total(), counts=dict(counts))
            for key, counts in sorted(self._counts.items())
        ]
        ScoreDay.objects.bulk_create(
            days,
            batch_size=500,
            update_conflicts=True,
            unique_fields=["site", "version", "day"],
            update_fields=["sessions", "counts"],
        )
