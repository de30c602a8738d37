"""What passes a filter, in figures: sessions, hosts, rule hits, attacks, indicators, and when."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from detection.indicators import HIT_SCHEMA
from models_registry.models import IndicatorMatch
from models_registry.services.hunt_hits import hit_counts
from models_registry.services.hunt_tables import Hunt, offer, opened
from models_registry.services.hunts import EPOCH, moment

MOST_STRETCHES = 50_000  # of time: a month in minutes
MINUTE = 60_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Counts:
    sessions: int
    hosts: int  # source addresses
    rule_hits: int
    attacks: int  # sessions labelled positive
    indicators: int  # different entries of indicator lists
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class Bar:
    at: datetime
    sessions: int


def count(hunt: Hunt) -> Counts:
    """Return what passes the filter, in sessions and hosts."""
    figures = "count(*), count(DISTINCT s.src_ip), epoch_us(min(s.start)), epoch_us(max(s.start))"
    with opened(hunt) as asked:
        [(sessions, hosts, first, last)] = asked.rows(f"SELECT {figures}")
    return _counts(hunt, sessions, hosts, first, last)


def survey(hunt: Hunt, columns: int) -> tuple[Counts, list[Bar], int]:
    """Return what `count` does, sessions per stretch of time, and how many seconds a stretch is.

    Short stretches are counted and then joined: the files are read once for all that is asked of time."""
    stretch = _stretch(hunt)
    figures = "count(*), epoch_us(min(s.start)), epoch_us(max(s.start))"
    with opened(hunt) as asked:
        [(hosts,)] = asked.rows("SELECT count(DISTINCT s.src_ip)")
        found = asked.rows(
            f"SELECT epoch_us(s.start) // $stretch AS place, {figures}", "GROUP BY place", stretch=stretch
        )
    first, last = min((row[2] for row in found), default=None), max((row[3] for row in found), default=None)
    counts = _counts(hunt, sum(row[1] for row in found), hosts, first, last)
    if first is None or last is None:
        return counts, [], stretch // 1_000_000
    wide = -(-(last - first + 1) // (columns * stretch)) * stretch
    joined: Counter[int] = Counter()
    for place, sessions, _first, _last in found:
        joined[place * stretch // wide * wide] += sessions
    bars = [Bar(EPOCH + timedelta(microseconds=at), joined[at]) for at in sorted(joined)]
    return counts, bars, wide // 1_000_000


def _stretch(hunt: Hunt) -> int:
    """Return whole minutes in microseconds, so that not too many of them cover all segments."""
    begins = min((one.first_at for one in hunt.segments if one.first_at), default=EPOCH)
    ends = max((one.last_at for one in hunt.segments if one.last_at), default=EPOCH)
    minutes = (ends - begins) // timedelta(minutes=1)
    return MINUTE * max(1, -(-minutes // MOST_STRETCHES))


def _counts(hunt: Hunt, sessions: int, hosts: int, first: int | None, last: int | None) -> Counts:
    if not sessions:
        return Counts(0, 0, 0, 0, 0, None, None)
    return Counts(sessions, hosts, _hits(hunt), _attacks(hunt), _indicators(hunt), moment(first), moment(last))


def _hits(hunt: Hunt) -> int:
    counted = hit_counts(hunt.segments)
    if not len(counted):
        return 0
    with opened(hunt) as asked:
        asked.connection.register("hit_counts", counted)
        return int(asked.rows("SELECT coalesce(sum(h.hits), 0)", "", "JOIN hit_counts h ON h.rid = s.rid")[0][0])


def _attacks(hunt: Hunt) -> int:
    """Return how many of the sessions are labelled positive; asks only segments that may hold one."""
    positive = hunt.answers.of(None)
    if not len(positive):
        return 0
    starts = positive["start"].cast(pa.int64()).to_pylist()
    moments = sorted(filter(None, map(moment, starts)))
    some = [one for one in hunt.segments if one.first_at and one.last_at and _any(moments, one.first_at, one.last_at)]
    if not some:
        return 0
    with opened(hunt, of=some, segments_joined=True) as narrower:
        narrower.connection.register("positive", positive)
        return int(
            narrower.rows(
                "SELECT count(*)",
                "AND EXISTS (FROM positive p WHERE p.flow_id = s.flow_id AND p.start = s.start AND p.sensor = g.sensor"
                " AND p.tx_id IS NOT DISTINCT FROM s.tx_id)",
            )[0][0]
        )


def _any(moments: Sequence[datetime], first: datetime, last: datetime) -> bool:
    place = bisect_left(moments, first)
    return place < len(moments) and moments[place] <= last


def _indicators(hunt: Hunt) -> int:
    """Return how many different entries of lists the sessions match; asks only segments with matches."""
    known = {segment.pk: segment for segment in hunt.segments}
    matches = IndicatorMatch.objects.filter(segment__in=known, hits__gt=0).exclude(path="")
    paths = {match.segment_id: match.path for match in matches}
    if not paths:
        return 0
    with opened(hunt, of=[known[pk] for pk in paths]) as narrower:
        offer(narrower.connection, "matched", list(paths.values()), HIT_SCHEMA)
        found = narrower.rows("SELECT count(DISTINCT i.indicator)", "", "JOIN matched i ON i.rid = s.rid")
    return int(found[0][0])
