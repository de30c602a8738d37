"""Ask stored traffic: a filter over segments and score files, answered by DuckDB in memory.

The file list comes from the database, narrowed by what the filter says of time, sensor and protocol."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from django.db.models import QuerySet

from detection.filters import FIELDS, FilterError, Narrowed, bind, narrow, parse
from detection.filters.errors import nearest
from detection.filters.fields import BY_NAME, Field, Place
from detection.indicators import HIT_SCHEMA
from detection.sessions import COLUMN_NAMES
from models_registry.models import IndicatorMatch, Version
from models_registry.services.hunt_names import RegistryNames
from models_registry.services.hunt_tables import Answers, Hunt, NoAnswers, offer, opened
from traffic.models import Segment

MOST_GROUPS = 50
Position = tuple[int, int]  # microseconds since 1970 UTC, rid: newest first is a total order
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """Which segments are asked: those that reach into it."""

    since: datetime | None = None
    until: datetime | None = None


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


@dataclass(frozen=True, slots=True)
class Group:
    value: str | None
    sessions: int
    hosts: int


def prepare(
    text: str,
    *,
    now: datetime,
    window: Window | None = None,
    under_test: Version | None = None,
    answers: Answers | None = None,
) -> Hunt:
    """Understand a filter and find the segments that may hold what it asks for. Raises FilterError."""
    names = RegistryNames(under_test)
    predicate = bind(parse(text), names, now)
    chosen = _segments(narrow(predicate), window or Window())
    return Hunt(predicate, names, answers or NoAnswers(), list(chosen), names.raw_thresholds())


def _segments(narrowed: Narrowed, window: Window) -> QuerySet[Segment]:
    found = Segment.objects.of_traffic().select_related("sensor").order_by("-last_at", "-id")
    since = max(filter(None, (window.since, _moment(narrowed.since))), default=None)
    until = min(filter(None, (window.until, _moment(narrowed.until))), default=None)
    if since is not None:
        found = found.filter(last_at__gte=since)
    if until is not None:
        found = found.filter(first_at__lte=until)
    if narrowed.sensors is not None:
        found = found.filter(sensor__name__in=narrowed.sensors)
    if narrowed.protocol is not None:
        found = found.filter(protocol=narrowed.protocol)
    return found


def _moment(microseconds: int | None) -> datetime | None:
    if microseconds is None:
        return None
    # times beyond the calendar bound nothing
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


# ---- questions


def count(hunt: Hunt) -> Counts:
    """Return what passes the filter, in sessions and hosts."""
    figures = "count(*), count(DISTINCT s.src_ip), sum(len(s.hits)), epoch_us(min(s.start)), epoch_us(max(s.start))"
    with opened(hunt) as asked:
        [(sessions, hosts, hits, first, last)] = asked.rows(f"SELECT {figures}")
    return Counts(sessions, hosts, int(hits or 0), _attacks(hunt), _indicators(hunt), _moment(first), _moment(last))


def bars(hunt: Hunt, seconds: int) -> list[Bar]:
    """Return sessions per stretch of so many seconds, the empty ones left out."""
    with opened(hunt) as asked:
        stretch = seconds * 1_000_000
        sql = "SELECT epoch_us(s.start) // $stretch * $stretch AS moment, count(*)"
        found = asked.rows(sql, "GROUP BY moment ORDER BY moment", stretch=stretch)
    return [Bar(_EPOCH + timedelta(microseconds=at), sessions) for at, sessions in found]


def groups(hunt: Hunt, name: str, most: int = 20) -> list[Group]:
    """Return the most frequent values of a field, with their hosts. Raises FilterError for a field that has none.

    In two steps: counting distinct hosts of every value costs three times as much."""
    groupable = group_field(name)
    with opened(hunt, segments_joined=groupable.place is Place.SEGMENT) as asked:
        value, extra = _value_of(groupable)
        top = asked.rows(
            f"SELECT {value} AS value, count(*) AS sessions",
            "GROUP BY value ORDER BY sessions DESC, value LIMIT $most",
            extra,
            most=min(most, MOST_GROUPS),
        )
        some = pa.table({"value": pa.array([value for value, _ in top], pa.string())})
        asked.connection.register("top_values", some)
        hosts = dict(
            asked.rows(
                f"SELECT {value} AS value, count(DISTINCT s.src_ip)",
                "AND EXISTS (FROM top_values t WHERE t.value IS NOT DISTINCT FROM CAST(" + value + " AS VARCHAR))"
                " GROUP BY value",
                extra,
            )
        )
    return [Group(value, sessions, hosts[value]) for value, sessions in top]


def group_field(name: str) -> Field:
    """Return the field people may group by under a name. Raises FilterError."""
    found = BY_NAME.get(name)
    if found is None or found.place is Place.MODEL:
        known = [one.name for one in FIELDS if one.place is not Place.MODEL]
        raise FilterError(f"there is nothing to group by in “{name}”", 1, nearest(name, known))
    return found


def _value_of(groupable: Field) -> tuple[str, str]:
    """Return the SQL of a field's value, and what must stand between FROM and WHERE for it."""
    if groupable.place is Place.HIT:
        return f"CAST(u.hit.{groupable.column} AS VARCHAR)", ", LATERAL (SELECT unnest(s.hits) AS hit) u"
    alias = "g" if groupable.place is Place.SEGMENT else "s"
    return f"CAST({alias}.{groupable.column} AS VARCHAR)", ""


def newest(hunt: Hunt, most: int = 50, before: Position | None = None) -> list[Position]:
    """Return where the newest sessions that pass lie, newest first; `before` is the last one shown.

    Walks the segments newest first and stops as soon as no older one can hold a newer session."""
    found: list[Position] = []
    condition = ""
    bound: dict[str, Any] = {"most": most}
    if before is not None:
        condition = "AND (epoch_us(s.start), s.rid) < ($at, $rid)"
        bound |= {"at": before[0], "rid": before[1]}
    left, step = hunt.segments, 2
    while left and not _enough(found, most, left):
        with opened(hunt, of=left[:step]) as asked:
            select = "SELECT epoch_us(s.start) AS moment, s.rid AS rid"
            found += asked.rows(select, f"{condition} ORDER BY moment DESC, rid DESC LIMIT $most", **bound)
        found = sorted(found, reverse=True)[:most]
        left, step = left[step:], step * 2
    return found


def rows(hunt: Hunt, places: Sequence[Position], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return some columns of sessions, in the order asked."""
    rids = [rid for _, rid in places]
    numbers = {rid >> 32 for rid in rids}
    with opened(hunt, of=[one for one in hunt.segments if one.pk in numbers]) as asked:
        chosen = ["rid", *(name for name in columns if name in COLUMN_NAMES)]
        sql = f"SELECT {', '.join(chosen)} FROM sessions WHERE rid IN (SELECT unnest($rids))"  # noqa: S608 - our names
        found = asked.connection.sql(sql, params={"rids": rids}).to_arrow_table()
    table = {row["rid"]: row for row in found.to_pylist()}
    return [table[rid] for rid in rids]


def _enough(found: Sequence[Position], most: int, left: Sequence[Segment]) -> bool:
    if len(found) < most:
        return False
    latest = left[0].last_at
    return latest is not None and found[-1][0] > (latest - _EPOCH) // timedelta(microseconds=1)


def _attacks(hunt: Hunt) -> int:
    """Return how many of the sessions are labelled positive; asks only segments that may hold one."""
    positive = hunt.answers.of(None)
    if not len(positive):
        return 0
    starts = positive["start"].cast(pa.int64()).to_pylist()
    moments = sorted(filter(None, map(_moment, starts)))
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
