"""Ask stored traffic: a filter over segments and score files, answered by DuckDB in memory.

The file list comes from the database, narrowed by what the filter says of time, sensor and protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from django.db.models import QuerySet

from detection.filters import FIELDS, FilterError, Narrowed, bind, narrow, parse
from detection.filters.errors import _, nearest
from detection.filters.fields import BY_NAME, Field, Place
from detection.filters.predicates import And, FieldTest, Op, Predicate
from detection.sessions import COLUMN_NAMES, Row
from detection.tables import SESSION_SCHEMA, rows_of
from models_registry.models import Version
from models_registry.services import hunt_looks
from models_registry.services.hunt_names import Looks, RegistryNames
from models_registry.services.hunt_tables import Answers, Hunt, NoAnswers, opened
from traffic.models import Segment

MOST_GROUPS = 50
Position = tuple[int, int]  # microseconds since 1970 UTC, rid: newest first is a total order
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """Between which times sessions begin, both included."""

    since: datetime | None = None
    until: datetime | None = None


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
    looks: Looks | None = None,
) -> Hunt:
    """Understand a filter and find the segments that may hold what it asks for. Raises FilterError."""
    names = RegistryNames(under_test, looks)
    predicate = And((bind(parse(text), names, now), *_within(window or Window())))
    chosen = _segments(narrow(predicate))
    return Hunt(predicate, names, answers or NoAnswers(), list(chosen), names.raw_thresholds())


def _within(window: Window) -> list[Predicate]:
    tests = ((Op.AT_LEAST, window.since), (Op.AT_MOST, window.until))
    return [FieldTest(BY_NAME["start"], op, microseconds(at)) for op, at in tests if at is not None]


def _segments(narrowed: Narrowed) -> QuerySet[Segment]:
    found = Segment.objects.of_traffic().select_related("sensor").order_by("-last_at", "-id")
    if (since := moment(narrowed.since)) is not None:
        found = found.filter(last_at__gte=since)
    if (until := moment(narrowed.until)) is not None:
        found = found.filter(first_at__lte=until)
    if narrowed.sensors is not None:
        found = found.filter(sensor__name__in=narrowed.sensors)
    if narrowed.protocol is not None:
        found = found.filter(protocol=narrowed.protocol)
    return found


def microseconds(at: datetime) -> int:
    """Return a time as sessions carry it: since 1970 UTC."""
    return (at - EPOCH) // timedelta(microseconds=1)


def moment(at: int | None) -> datetime | None:
    """Return what `microseconds` was given."""
    if at is None:
        return None
    # times beyond the calendar bound nothing
    try:
        return EPOCH + timedelta(microseconds=at)
    except OverflowError:
        return None


# ---- questions


def groups(hunt: Hunt, name: str, most: int = 20) -> list[Group]:
    """Return the most frequent values of a field, with their hosts. Raises FilterError for a field that has none.

    In two steps: counting distinct hosts of every value costs three times as much."""
    groupable = group_field(name)
    most = min(most, MOST_GROUPS)
    with opened(hunt, segments_joined=groupable.place is Place.SEGMENT) as asked:
        if groupable.place is Place.LOOK:
            return [Group(one.look, one.sessions, one.hosts) for one in hunt_looks.commonest(asked, most)]
        value, extra = _value_of(groupable)
        top = asked.rows(
            f"SELECT {value} AS value, count(*) AS sessions",
            "GROUP BY value ORDER BY sessions DESC, value LIMIT $most",
            extra,
            most=most,
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
        raise FilterError(_("there is nothing to group by in “{name}”"), 1, nearest(name, known), name=name)
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


def nearest_scores(hunt: Hunt, version: Version, raw: float, most: int) -> list[int]:
    """Return the row ids of the sessions whose scores of a version, which the hunt asks, are nearest to one."""
    with opened(hunt) as asked:
        place = asked.question.versions.index(str(version))
        sql = f"SELECT rid FROM scores_{place} ORDER BY abs(raw - $raw), rid LIMIT $most"  # noqa: S608 - a number
        return [rid for (rid,) in asked.connection.execute(sql, {"raw": raw, "most": most}).fetchall()]


def whole_rows(hunt: Hunt, rids: Sequence[int]) -> dict[int, Row]:
    """Return sessions with all their columns, by row id."""
    numbers = {rid >> 32 for rid in rids}
    with opened(hunt, of=[one for one in hunt.segments if one.pk in numbers]) as asked:
        sql = "FROM sessions WHERE rid IN (SELECT unnest($rids))"
        found = asked.connection.sql(sql, params={"rids": list(rids)}).to_arrow_table()
    return {row["rid"]: row for row in rows_of(found.cast(SESSION_SCHEMA))}


def _enough(found: Sequence[Position], most: int, left: Sequence[Segment]) -> bool:
    if len(found) < most:
        return False
    latest = left[0].last_at
    return latest is not None and found[-1][0] > microseconds(latest)
