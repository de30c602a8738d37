"""What passes a filter, in figures: sessions, hosts, rule hits, attacks, indicators, and when."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from detection.filters.fields import Place
from detection.filters.predicates import FieldTest, Op, Predicate, conjuncts
from detection.indicators import HIT_SCHEMA
from models_registry.models import IndicatorMatch
from models_registry.services.hunt_hits import hit_counts
from models_registry.services.hunt_tables import Asked, Hunt, offer, opened
from models_registry.services.hunts import EPOCH, moment

MOST_STRETCHES = 50_000  # of time: a month in minutes
MINUTE = 60_000_000  # microseconds
_SURVEY = """SELECT place, sum(sessions), count(source), sum(hits), epoch_us(min(first)), epoch_us(max(last)) FROM (
    SELECT s.src_ip AS source, epoch_us(s.start) // $stretch AS place,
        count(*) AS sessions, {hits} AS hits, min(s.start) AS first, max(s.start) AS last"""
_SETS = "GROUP BY GROUPING SETS ((source), (place)))"


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
    with opened(hunt) as asked:
        hits, join = _hits(hunt, asked)
        figures = f"count(*), count(DISTINCT s.src_ip), {hits}, epoch_us(min(s.start)), epoch_us(max(s.start))"
        [found] = asked.rows(f"SELECT {figures}", "", join)
    return _counts(hunt, *found)


def survey(hunt: Hunt, columns: int) -> tuple[Counts, list[Bar], int]:
    """Return what `count` does, sessions per stretch of time, and how many seconds a stretch is.

    Short stretches are counted and then joined: the files are read once for all that is asked."""
    stretch = _stretch(hunt)
    with opened(hunt) as asked:
        hits, join = _hits(hunt, asked)
        # by hosts on one side and by stretches on the other; hosts have no place
        found = asked.rows(_SURVEY.replace("{hits}", hits), f"{_SETS} GROUP BY place", join, stretch=stretch)
    figures = next((row[1:] for row in found if row[0] is None), (0, 0, 0, None, None))
    counts = _counts(hunt, *figures)
    if figures[3] is None:
        return counts, [], stretch // 1_000_000
    wide = -(-(figures[4] - figures[3] + 1) // (columns * stretch)) * stretch
    joined: Counter[int] = Counter()
    for place, sessions, *_rest in found:
        if place is not None:
            joined[place * stretch // wide * wide] += int(sessions)
    bars = [Bar(EPOCH + timedelta(microseconds=at), joined[at]) for at in sorted(joined)]
    return counts, bars, wide // 1_000_000


def _stretch(hunt: Hunt) -> int:
    """Return whole minutes in microseconds, so that not too many of them cover all segments."""
    begins = min((one.first_at for one in hunt.segments if one.first_at), default=EPOCH)
    ends = max((one.last_at for one in hunt.segments if one.last_at), default=EPOCH)
    minutes = (ends - begins) // timedelta(minutes=1)
    return MINUTE * max(1, -(-minutes // MOST_STRETCHES))


def _counts(hunt: Hunt, sessions: int, hosts: int, hits: int | None, first: int | None, last: int | None) -> Counts:
    if not sessions:
        return Counts(0, 0, 0, 0, 0, None, None)
    found = (int(sessions), hosts, int(hits or 0), _attacks(hunt), _indicators(hunt))
    return Counts(*found, moment(first), moment(last))


def _hits(hunt: Hunt, asked: Asked) -> tuple[str, str]:
    """Return the SQL of how many hits there are, and the join that it needs."""
    asked.connection.register("hit_counts", hit_counts(hunt.segments))
    # of the others nothing is read then
    only_with_hits = any(map(_asks_hits, conjuncts(hunt.predicate)))
    return "sum(h.hits)", f"{'' if only_with_hits else 'LEFT '}JOIN hit_counts h ON h.rid = s.rid"


def _asks_hits(test: Predicate) -> bool:
    """Whether a session without hits fails the test."""
    return isinstance(test, FieldTest) and test.field.place is Place.HIT and test.op is not Op.MISSING


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
