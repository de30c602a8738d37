"""A connection to DuckDB that knows the tables a filter asks: sessions, scores, answers, segments."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import duckdb
import pyarrow as pa
from django.conf import settings
from django.utils.translation import gettext as _

from detection.filters import Predicate, Question, compile_sql
from detection.tables import HITS_TYPE, SCORE_SCHEMA, SESSION_SCHEMA
from models_registry.models import ScoreFile, Version
from models_registry.services import hunt_engine
from models_registry.services.hunt_names import RegistryNames
from traffic import storage
from traffic.models import Segment
from traffic.services import segments

LONGEST = 30.0  # seconds a question may take
ANSWERS = pa.schema(
    [
        ("sensor", pa.string()),
        ("flow_id", pa.int64()),
        ("tx_id", pa.int64()),
        ("start", pa.timestamp("us", tz="UTC")),
        ("answer", pa.string()),
    ]
)
SEGMENTS = pa.schema([("segment", pa.int64()), ("sensor", pa.string())])


class HuntTooLong(RuntimeError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """The question took longer than a person would wait."""


class Answers(Protocol):
    """What experts said; rooms above know it."""

    def of(self, detector: str | None) -> pa.Table:
        """Return the settled answers for a detector as `ANSWERS`, one per session; None: positive ones of any."""


class NoAnswers:
    """For those who ask traffic and models alone."""

    def of(self, detector: str | None) -> pa.Table:
        return ANSWERS.empty_table()


@dataclass(slots=True)
class Hunt:
    """A filter that was understood, and the files it is asked of. Made by `hunts.prepare`, asked within `opened`."""

    predicate: Predicate
    names: RegistryNames
    answers: Answers
    segments: list[Segment]  # newest first
    raw_thresholds: dict[str, float]  # version → raw sum from which its verdict is positive
    unscored: dict[str, int] = field(default_factory=dict)  # version → segments without its scores


@dataclass(frozen=True, slots=True)
class Asked:
    """A connection that knows the tables of one question."""

    connection: duckdb.DuckDBPyConnection
    question: Question

    def rows(self, select: str, tail: str = "", extra: str = "", **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of `select`, of what passes the filter; `extra` joins, `tail` follows the conditions."""
        with _limits():
            return self.connection.execute(self._sql(select, tail, extra), self._given(parameters)).fetchall()

    def dicts(self, select: str, tail: str = "", **parameters: Any) -> list[dict[str, Any]]:
        """Return the rows of `select` by the names of its columns."""
        with _limits():
            found = self.connection.sql(self._sql(select, tail), params=self._given(parameters)).to_arrow_table()
        rows: list[dict[str, Any]] = found.to_pylist()
        return rows

    def keep(self, name: str, select: str, tail: str = "", extra: str = "") -> None:
        """Keep what passes as a table of the connection, for questions in several steps."""
        with _limits():
            self.connection.execute(f"CREATE TEMP TABLE {name} AS {self._sql(select, tail, extra)}", self._given({}))

    def kept(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a question about what was kept."""
        with _limits():
            return self.connection.execute(sql, parameters).fetchall()

    def batches(self, select: str, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield what passes the filter, so many rows at a time."""
        yield from self.connection.sql(self._sql(select), params=self.question.parameters).to_arrow_reader(rows)

    def _given(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return self.question.parameters | parameters

    def _sql(self, select: str, tail: str = "", extra: str = "") -> str:
        tables, _, conditions = self.question.source.rpartition("\nWHERE ")
        return f"{select}\n{tables} {extra}\nWHERE ({conditions}) {tail}"


@contextmanager
def _limits() -> Iterator[None]:
    """Say in words what went beyond its limits."""
    try:
        yield
    except duckdb.InterruptException:
        told = _("The question took longer than %(seconds)d s: ask for less time.") % {"seconds": LONGEST}
        raise HuntTooLong(told) from None
    except duckdb.OutOfMemoryException:
        raise HuntTooLong(_("The question needs more memory than it may have: ask for less time.")) from None


@contextmanager
def opened(
    hunt: Hunt, *, of: Sequence[Segment] | None = None, segments_joined: bool = False, limited: bool = True
) -> Iterator[Asked]:
    """Lend a connection over the hunt's segments, or over some of them; `limited` to LONGEST seconds."""
    question = compile_sql(hunt.predicate, hunt.raw_thresholds, segments=segments_joined)
    # sessions and scores in one order: a join over ten million sessions takes half the time
    chosen = sorted(hunt.segments if of is None else of, key=lambda one: one.pk)
    with hunt_engine.cursor() as connection:
        timer = threading.Timer(LONGEST, connection.interrupt)
        if limited:
            timer.start()
        try:
            _offer_sessions(connection, chosen)
            for index, name in enumerate(question.versions):
                version = hunt.names.find(name)
                paths, without = _score_files(version, chosen)
                if of is None:
                    hunt.unscored[name] = without
                offer(connection, f"scores_{index}", paths, SCORE_SCHEMA)
            for index, detector in enumerate(question.detectors):
                connection.register(f"labels_{index}", hunt.answers.of(detector))
            if question.segments or question.detectors:
                named = {"segment": [one.pk for one in chosen], "sensor": [one.sensor.name for one in chosen]}
                connection.register("segments", pa.table(named, schema=SEGMENTS))
            yield Asked(connection, question)
        finally:
            timer.cancel()


def _offer_sessions(connection: duckdb.DuckDBPyConnection, chosen: Sequence[Segment]) -> None:
    """Offer sessions with all their hits: those that came late lie in the database."""
    late = [one for one in chosen if one.late_hits]
    if not late:
        offer(connection, "sessions", [one.sessions_path for one in chosen], SESSION_SCHEMA)
        return
    beside: dict[int, Any] = {}
    for one in late:
        beside |= {one.pk << 32 | row: hits for row, hits in segments.late_hits(one).items()}
    table = pa.table({"rid": pa.array(list(beside), pa.int64()), "more": pa.array(list(beside.values()), HITS_TYPE)})
    connection.register("late", table)
    offer(connection, "on_time", [one.sessions_path for one in chosen if not one.late_hits], SESSION_SCHEMA)
    offer(connection, "corrected", [one.sessions_path for one in late], SESSION_SCHEMA)
    connection.execute(
        "CREATE TEMP VIEW sessions AS FROM on_time UNION ALL BY NAME "
        "SELECT c.* REPLACE (list_concat(c.hits, l.more) AS hits) FROM corrected c LEFT JOIN late l ON l.rid = c.rid"
    )


def _score_files(version: Version, chosen: Sequence[Segment]) -> tuple[list[str], int]:
    """Return a version's files of some segments, and how many segments of its protocol have none."""
    wanted = [one.pk for one in chosen if one.protocol == version.detector.protocol]
    files = ScoreFile.objects.filter(version=version, segment__in=wanted).exclude(path="")
    paths = list(files.order_by("segment").values_list("path", flat=True))
    return paths, len(wanted) - len(paths)


def offer(connection: duckdb.DuckDBPyConnection, name: str, paths: Sequence[str], schema: pa.Schema) -> None:
    """Offer stored Parquet files as a table; DuckDB reads those of this machine by itself."""
    if not paths:
        connection.register(name, schema.empty_table())
    elif settings.ETALON_STORAGE.startswith("file://"):
        files = ", ".join("'" + str(storage.local_path(path)).replace("'", "''") + "'" for path in paths)
        connection.execute(f"CREATE TEMP VIEW {name} AS FROM read_parquet([{files}])")
    else:
        connection.register(name, storage.dataset(paths))
