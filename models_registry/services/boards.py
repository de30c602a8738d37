"""The board: rules x model, for one version over a window of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
from django.db.models import QuerySet, Sum

from detection.rules import RuleVerdict
from detection.selection import CELL_CODES, Cell
from models_registry.models import ScoreFile, Version
from models_registry.services.scoring import COUNTERS
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
    files = version.score_files.all()
    return files.filter(segment__last_at__gte=since) if since else files


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


def _hosts(files: QuerySet[ScoreFile]) -> dict[Cell, int]:
    rows = _query(files, "SELECT cell, count(DISTINCT src_ip) FROM scores GROUP BY cell")
    return {CELL_CODES[code]: count for code, count in rows}


def _query(files: QuerySet[ScoreFile], sql: str) -> list[tuple[Any, ...]]:
    """Return the answer to a question about the rows of score files, which it calls `scores`."""
    paths = list(files.values_list("path", flat=True))
    if not paths:
        return []
    with duckdb.connect() as connection:
        connection.register("scores", storage.dataset(paths))
        return connection.execute(sql).fetchall()
