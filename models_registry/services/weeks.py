"""The last week of traffic, and what a version flags of it, in questions that the hunt page answers alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.db.models import Max, QuerySet
from django.db.utils import InterfaceError, OperationalError
from django.utils import timezone

from detection.ship_queries import Extent
from detection.thresholds import raw_threshold
from models_registry.models import ScoreFile, Version
from models_registry.services import hunts, scoring
from models_registry.services.detectors import rules_in_force
from models_registry.services.hunt_tables import Hunt, opened
from traffic.models import Segment

DAYS = 7
SHORTEST = 1 / 24  # of a day: less traffic than that says nothing about a day
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Week:
    """The last days of a protocol's traffic: up to the newest session that is stored."""

    protocol: str
    since: datetime
    until: datetime

    @property
    def asked(self) -> str:
        """The week as a filter of hunts."""
        return f"start >= {_written(self.since)} and start <= {_written(self.until)}"

    @property
    def segments(self) -> QuerySet[Segment]:
        """Segments that reach into the week."""
        reach = Segment.objects.of_traffic().filter(protocol=self.protocol)
        return reach.filter(last_at__gte=self.since, first_at__lte=self.until)

    @property
    def days(self) -> float:
        """Days that were seen: from the first session stored, at most DAYS ago."""
        first = self.segments.order_by("first_at").values_list("first_at", flat=True).first() or self.since
        return max((self.until - max(first, self.since)) / timedelta(days=1), SHORTEST)

    def to_dict(self) -> dict[str, Any]:
        return {"since": self.since.isoformat(), "until": self.until.isoformat(), "days": self.days}


def last_week(protocol: str, days: int = DAYS) -> Week | None:
    """Return the last days of a protocol's traffic; None where none is stored."""
    newest = Segment.objects.of_traffic().filter(protocol=protocol).aggregate(at=Max("last_at"))["at"]
    if newest is None:
        return None
    until = min(newest, timezone.now())
    return Week(protocol, until - timedelta(days=days), until)


def complete(version: Version, week: Week) -> int:
    """Score what of the week the version has not seen; return the segments that are without scores even so."""
    rules = rules_in_force(version.detector)
    for segment in _unscored(version, week).select_related("rule_set", "sensor"):
        try:
            scoring.score_or_note(version, segment, rules)
        except (OperationalError, InterfaceError):
            raise  # the database is away: nothing about this segment
        except Exception:
            log.exception("score.failed", version=str(version), segment=segment.pk)
    return _unscored(version, week).count()


def _unscored(version: Version, week: Week) -> QuerySet[Segment]:
    scored = ScoreFile.objects.filter(version=version).exclude(path="")
    return week.segments.exclude(pk__in=scored.values("segment"))


def flagged(version: Version, threshold: float) -> str:
    """Return the filter of what a version flags at a threshold."""
    return f'model("{version}").score >= {threshold!r}'


def ask(text: str, week: Week, version: Version, threshold: float) -> Hunt:
    """Return the hunt of a filter over the week, with a version under test at a threshold. Raises FilterError."""
    window = hunts.Window(week.since, week.until)
    hunt = hunts.prepare(text, now=week.until, window=window, under_test=version)
    hunt.raw_thresholds[str(version)] = raw_threshold(threshold)
    return hunt


def extent(text: str, week: Week, version: Version, threshold: float) -> Extent:
    """Return how much of the week passes a filter; takes the time it takes. Raises FilterError."""
    with opened(ask(text, week, version, threshold), limited=False) as asked:
        [(sessions, hosts)] = asked.rows("SELECT count(*), count(DISTINCT s.src_ip)")
    return Extent(sessions, hosts)


def traffic(week: Week, version: Version) -> Extent:
    """Return all traffic of the week."""
    return extent(f'protocol == "{week.protocol}" and {week.asked}', week, version, version.threshold)


def positives_asked(version: Version, threshold: float, week: Week) -> str:
    """Return the filter of a version's positives of the week."""
    return f"{flagged(version, threshold)} and {week.asked}"


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
