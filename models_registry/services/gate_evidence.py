"""What the gate asks of stored traffic: a version's positives of a week, the active version's, the ship queries."""

from __future__ import annotations

from detection.gate_traffic import Against, ShipFinding, WeekOfTraffic
from detection.ship_queries import Extent
from models_registry.models import DiffReview, Version
from models_registry.services import diffs, ship_queries, weeks
from models_registry.services.weeks import Week

NOTHING_STORED = "no traffic is stored that it could be asked of"


def week_of(version: Version, threshold: float) -> WeekOfTraffic | None:
    """Return what a version flags at a threshold on the last week's full traffic, scoring what it has not scored.

    None where no traffic of its protocol is stored."""
    week = weeks.last_week(version.detector.protocol)
    if week is None:
        return None
    unscored = weeks.complete(version, week)
    asked = weeks.positives_asked(version, threshold, week)
    return WeekOfTraffic(
        since=week.since.isoformat(),
        until=week.until.isoformat(),
        days=week.days,
        traffic=weeks.traffic(week, version),
        positives=weeks.extent(asked, week, version, threshold),
        segments=week.segments.count(),
        unscored=unscored,
        asked=asked,
        against=_against(version, threshold, week),
    )


def _against(version: Version, threshold: float, week: Week) -> Against | None:
    active = diffs.active_beside(version)
    if active is None:
        return None
    unscored = weeks.complete(active, week)
    diff = diffs.make(version, threshold, week)
    assert diff is not None
    groups = diffs.groups_of(diff)
    said = [one.review.outcome for one in groups if one.review]
    return Against(
        version=str(active),
        threshold=active.threshold,
        gained=Extent(diff.gained, diff.gained_hosts),
        lost=Extent(diff.lost, diff.lost_hosts),
        gained_asked=diff.gained_asked,
        lost_asked=diff.lost_asked,
        unscored=unscored,
        diff=diff.pk,
        groups=len(groups),
        accepted=said.count(DiffReview.Outcome.ACCEPTED),
        labelled=said.count(DiffReview.Outcome.LABEL),
    )


def ship_findings(version: Version, threshold: float, found: WeekOfTraffic | None) -> list[ShipFinding]:
    """Ask every ship query in force; without traffic none can be asked, and each says so."""
    queries = ship_queries.in_force(version.detector)
    week = weeks.last_week(version.detector.protocol)
    if week is None or found is None:
        return [ShipFinding(one.name, one.ceilings, None, error=NOTHING_STORED) for one in queries]
    results = ship_queries.results(version, threshold, week, found.positives, found.traffic, queries)
    return [ShipFinding(one.name, one.terms.ceilings, one.findings, one.asked, one.error) for one in results]
