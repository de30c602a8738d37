"""Two versions on the same sessions: whose hosts they differ about, and the questions that list the sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb

from models_registry.models import ScoreFile, Version
from models_registry.services.boards import BoardCell, Comparison, compare
from traffic import storage

HOSTS = 20  # that differ most

_DIFFERING = """
    SELECT one.src_ip, count(*) FILTER (one.verdict), count(*) FILTER (other.verdict)
    FROM one JOIN other USING (rid) WHERE one.verdict <> other.verdict
    GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Side:
    """One way for two verdicts to fall, with the filter that finds its sessions."""

    name: str  # both, only-one, only-other
    cell: BoardCell
    clean: BoardCell | None  # of these, where rules looked and were clean
    question: str


@dataclass(frozen=True, slots=True)
class Host:
    """A source host that the versions differ about, in sessions."""

    host: str
    only_one: int
    only_other: int
    question: str


@dataclass(frozen=True, slots=True)
class Versus:
    """Two versions on the sessions that both have scored."""

    comparison: Comparison
    sides: list[Side]
    hosts: list[Host]


def versus(one: Version, other: Version, since: datetime | None = None) -> Versus:
    """Compare two versions of a detector. Raises ScoreMismatch, OSError."""
    compared = compare(one, other, since)
    sides = [
        Side("both", compared.both_positive, None, _asked(one, other, "positive", "positive")),
        Side("only-one", compared.only_one, compared.only_one_clean, _asked(one, other, "positive", "negative")),
        Side("only-other", compared.only_other, compared.only_other_clean, _asked(one, other, "negative", "positive")),
    ]
    return Versus(compared, sides, _hosts(one, other, since) if compared.flipped else [])


def _asked(one: Version, other: Version, first: str, second: str) -> str:
    return f'model("{one}").verdict == {first} and model("{other}").verdict == {second}'


def _hosts(one: Version, other: Version, since: datetime | None) -> list[Host]:
    files = ScoreFile.objects.counted().exclude(path="")
    if since is not None:
        files = files.filter(segment__last_at__gte=since)
    shared = files.filter(version=one).filter(segment__in=files.filter(version=other).values("segment"))
    segments = list(shared.values_list("segment_id", flat=True))
    with duckdb.connect() as connection:
        for name, version in (("one", one), ("other", other)):
            paths = list(files.filter(version=version, segment__in=segments).values_list("path", flat=True))
            connection.register(name, storage.dataset(paths))
        rows = connection.execute(_DIFFERING, [HOSTS]).fetchall()
    return [
        Host(host, first, second, f'src.ip == "{host}" and ({_differing(one, other)})') for host, first, second in rows
    ]


def _differing(one: Version, other: Version) -> str:
    return f"({_asked(one, other, 'positive', 'negative')}) or ({_asked(one, other, 'negative', 'positive')})"
