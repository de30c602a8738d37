"""The board: rules x model, for one version over a window of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
from django.db.models import Count, Max, Min, QuerySet, Sum

from detection.rules import RuleVerdict
from detection.selection import CELL_CODES, Cell
from detection.thresholds import raw_threshold
from models_registry.models import ScoreFile, Version
from models_registry.services.scoring import COUNTERS, ScoreMismatch
from traffic import storage

BINS = 40  # bars of a score histogram


@dataclass(frozen=True, slots=True)
class BoardCell:
    """Sessions of one cell, and the source hosts they came from (None: not counted)."""

    sessions: int
    hosts: int | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """What rules and one version said about the same sessions. Not-inspected sessions stand apart."""

    version: Version
    since: datetime | None
    cells: dict[Cell, BoardCell]
    segments: int

    @property
    def sessions(self) -> int:
        return sum(cell.sessions for cell in self.cells.values())

    @property
    def covered(self) -> BoardCell:
        return self.cells[Cell.COVERED]

    @property
    def unique(self) -> BoardCell:
        return self.cells[Cell.UNIQUE]

    @property
    def missed(self) -> BoardCell:
        return self.cells[Cell.MISSED]

    @property
    def quiet(self) -> BoardCell:
        return self.cells[Cell.QUIET]

    @property
    def uninspected_positive(self) -> BoardCell:
        return self.cells[Cell.UNINSPECTED_POSITIVE]

    @property
    def uninspected_negative(self) -> BoardCell:
        return self.cells[Cell.UNINSPECTED_NEGATIVE]


def board(version: Version, since: datetime | None = None, *, hosts: bool = True) -> Board:
    """Return the board of a version over segments that reach past `since` (all, when None).

    Sessions are sums kept while scoring; hosts are counted over the score files, so leave them out on hot pages."""
    files = _files(version, since)
    sums = files.aggregate(**{name: Sum(name) for name in COUNTERS.values()})
    counted = _hosts(files) if hosts else {}
    return Board(
        version,
        since,
        {cell: BoardCell(sums[name] or 0, counted.get(cell, 0) if hosts else None) for cell, name in COUNTERS.items()},
        files.count(),
    )


def _files(version: Version, since: datetime | None) -> QuerySet[ScoreFile]:
    files = ScoreFile.objects.counted().filter(version=version)
    return files.filter(segment__last_at__gte=since) if since else files


def _kept(files: QuerySet[ScoreFile]) -> QuerySet[ScoreFile]:
    """Return the files that were not deleted by age: hosts, histograms and comparisons know of no others."""
    return files.exclude(path="")


@dataclass(frozen=True, slots=True)
class Gain:
    """Unique candidates (sessions) of one version less those of another, where both scored."""

    unique: int
    segments: int


def gain(version: Version, over: Version, since: datetime) -> Gain:
    """Return what a version has over another one, from the sums kept while scoring: cheap enough for a hot page.

    Net: `compare` says what it wins and what it loses."""
    both = _files(version, since).filter(segment__score_files__version=over)
    sums = both.aggregate(
        own=Sum("unique_candidates"), other=Sum("segment__score_files__unique_candidates"), segments=Count("pk")
    )
    return Gain((sums["own"] or 0) - (sums["other"] or 0), sums["segments"])


@dataclass(frozen=True, slots=True)
class Bar:
    """Sessions with a score in [low, low + 1/BINS), by what the rules said."""

    low: float
    hit: int
    clean: int
    not_inspected: int

    @property
    def total(self) -> int:
        return self.hit + self.clean + self.not_inspected


def histogram(version: Version, since: datetime | None = None) -> list[Bar]:
    """Return how the scores of a version spread."""
    rows = _query(
        _files(version, since),
        f"""
        SELECT least(floor(1 / (1 + exp(-raw)) * {BINS}), {BINS - 1})::int AS bin,
               count(*) FILTER (rules = {RuleVerdict.HIT.value}),
               count(*) FILTER (rules = {RuleVerdict.CLEAN.value}),
               count(*) FILTER (rules = {RuleVerdict.NOT_INSPECTED.value})
        FROM scores GROUP BY bin
        """,  # noqa: S608 - constants of this module
    )
    counts = {bin_: found for bin_, *found in rows}
    return [Bar(number / BINS, *counts.get(number, (0, 0, 0))) for number in range(BINS)]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two versions said about the same sessions, those of segments that both have scored."""

    one: Version
    other: Version
    both_positive: BoardCell
    both_negative: BoardCell
    only_one: BoardCell
    only_other: BoardCell
    only_one_clean: BoardCell  # of these, where rules looked and were clean: unique candidates lost or won
    only_other_clean: BoardCell
    segments: int  # scored by both
    unshared: int  # scored by one of them only: not compared

    @property
    def sessions(self) -> int:
        return self.both_positive.sessions + self.both_negative.sessions + self.flipped

    @property
    def flipped(self) -> int:
        return self.only_one.sessions + self.only_other.sessions


_AGREEMENT = f"""
    SELECT one.verdict, other.verdict,
           count(*), count(DISTINCT one.src_ip),
           count(*) FILTER (one.rules = {RuleVerdict.CLEAN.value}),
           count(DISTINCT one.src_ip) FILTER (one.rules = {RuleVerdict.CLEAN.value})
    FROM one JOIN other USING (rid) GROUP BY ALL
"""  # noqa: S608 - constants of this module


def compare(one: Version, other: Version, since: datetime | None = None) -> Comparison:
    """Return where two versions of a detector agree, counted over their score files joined on rid.

    ScoreMismatch when a file lost rows: a sum that is silently smaller would look like agreement."""
    shared = list(set(_segments(one, since)) & set(_segments(other, since)))
    every = set(_segments(one, since)) | set(_segments(other, since))
    ones, others = (_kept(_files(version, since)).filter(segment__in=shared) for version in (one, other))
    counts = {(a, b): figures for a, b, *figures in _joined(ones, others)}
    expected = ones.aggregate(rows=Sum("rows"))["rows"] or 0
    if (found := sum(figures[0] for figures in counts.values())) != expected:
        raise ScoreMismatch(f"{one} and {other} share {found} sessions, their segments have {expected}")

    def cell(a: bool, b: bool, first: int = 0) -> BoardCell:
        figures = counts.get((a, b), (0, 0, 0, 0))
        return BoardCell(figures[first], figures[first + 1])

    return Comparison(
        one,
        other,
        both_positive=cell(True, True),
        both_negative=cell(False, False),
        only_one=cell(True, False),
        only_other=cell(False, True),
        only_one_clean=cell(True, False, 2),
        only_other_clean=cell(False, True, 2),
        segments=len(shared),
        unshared=len(every) - len(shared),
    )


def _segments(version: Version, since: datetime | None) -> QuerySet[ScoreFile, int]:
    return _kept(_files(version, since)).values_list("segment_id", flat=True)


def _joined(ones: QuerySet[ScoreFile], others: QuerySet[ScoreFile]) -> list[tuple[Any, ...]]:
    paths = [list(files.values_list("path", flat=True)) for files in (ones, others)]
    if not all(paths):
        return []
    with duckdb.connect() as connection:
        for name, found in zip(("one", "other"), paths, strict=True):
            connection.register(name, storage.dataset(found))
        return connection.execute(_AGREEMENT).fetchall()


def _hosts(files: QuerySet[ScoreFile]) -> dict[Cell, int]:
    rows = _query(files, "SELECT cell, count(DISTINCT src_ip) FROM scores GROUP BY cell")
    return {CELL_CODES[code]: count for code, count in rows}


def _query(files: QuerySet[ScoreFile], sql: str) -> list[tuple[Any, ...]]:
    """Return the answer to a question about the rows of score files, which it calls `scores`."""
    paths = list(_kept(files).values_list("path", flat=True))
    if not paths:
        return []
    with duckdb.connect() as connection:
        connection.register("scores", storage.dataset(paths))
        return connection.execute(sql).fetchall()


@dataclass(frozen=True, slots=True)
class Seen:
    """The traffic that a version scored since a moment."""

    hosts: int  # source hosts
    days: float  # from the moment, or the first session after it, to the last one


def seen(version: Version, since: datetime) -> Seen:
    """Return how much traffic a version scored since a moment, by segments that reach past it."""
    files = _files(version, since)
    span = files.aggregate(first=Min("segment__first_at"), last=Max("segment__last_at"))
    if span["last"] is None:
        return Seen(0, 0.0)
    [(hosts,)] = _query(files, "SELECT count(DISTINCT src_ip) FROM scores")
    return Seen(hosts, (span["last"] - max(span["first"], since)).total_seconds() / 86_400)


@dataclass(frozen=True, slots=True)
class Lost:
    """Positives of a version that another bar would not flag, in sessions."""

    all: int  # flagged at the lower bar
    lost: int  # of these, below the higher one
    lost_unique: int  # of the lost ones, where rules looked and were clean


def flagged_between(version: Version, low: float, high: float, window: timedelta) -> Lost:
    """Return what raising the threshold of a version from one probability to another takes away, counted over the
    newest traffic it has scored."""
    newest = ScoreFile.objects.counted().filter(version=version).aggregate(at=Max("segment__last_at"))["at"]
    since = newest - window if newest else None
    least = raw_threshold(low)
    most = f"raw < {raw_threshold(high)!r}" if high < 1 else "true"
    rows = _query(
        _files(version, since),
        f"""
        SELECT count(*), count(*) FILTER ({most}),
               count(*) FILTER ({most} AND rules = {RuleVerdict.CLEAN.value})
        FROM scores WHERE raw >= {least!r}
        """,  # noqa: S608 - numbers
    )
    return Lost(*rows[0]) if rows else Lost(0, 0, 0)
