"""Verdict diffs: what a version would flip against the active one on stored traffic, by look, and who has seen it.

DuckDB joins the score files and keeps what flips as a table; Python names each distinct look once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import EXPERTS
from accounts.services import audit
from detection.filters.looks import COLUMNS, look_of, write_look
from detection.fingerprint import shape_of, title_of
from detection.rules import RuleVerdict
from detection.ship_queries import Extent, digest_of
from detection.texts import storable
from detection.thresholds import sigmoid
from models_registry.models import DiffGroup, DiffReview, Direction, Stage, VerdictDiff, Version
from models_registry.services import weeks
from models_registry.services.hunt_tables import opened
from models_registry.services.two_people import reason_of
from models_registry.services.weeks import Week

MOST_LOOKS = 100_000  # distinct ones that are named, the most frequent
MOST_GROUPS = 500  # kept with a row of their own; the rest stands as one group
EXAMPLES = 50  # newest sessions of a group that experts would see


class ReviewRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Nothing was changed; the message says why, for the person who asked."""


@dataclass(frozen=True, slots=True)
class Flips:
    """One direction of a diff: in figures, and look by look."""

    asked: str
    extent: Extent
    groups: list[dict[str, Any]]


class Named(NamedTuple):
    """How people read a look, and how a filter names it."""

    title: str
    look: str


def active_beside(version: Version) -> Version | None:
    """Return the version that customers have now, when it is another one."""
    return version.detector.versions.filter(stage=Stage.ACTIVE).exclude(pk=version.pk).first()


def make(version: Version, threshold: float, week: Week) -> VerdictDiff | None:
    """Compare a version with the active one over a week and keep the result; an equal one is returned, not doubled.

    None where no other version is active. Sessions that one of the two has not scored are not flagged by it."""
    against = active_beside(version)
    if against is None:
        return None
    own, other = weeks.flagged(version, threshold), weeks.flagged(against, against.threshold)
    found = {
        Direction.GAINED: flips(f"{own} and not {other} and {week.asked}", week, version, against, threshold),
        Direction.LOST: flips(f"{other} and not {own} and {week.asked}", week, version, against, threshold),
    }
    gained, lost = found[Direction.GAINED], found[Direction.LOST]
    facts: dict[str, Any] = {
        "threshold": threshold,
        "against_threshold": against.threshold,
        "gained": gained.extent.sessions,
        "gained_hosts": gained.extent.hosts,
        "gained_asked": gained.asked,
        "lost": lost.extent.sessions,
        "lost_hosts": lost.extent.hosts,
        "lost_asked": lost.asked,
    }
    groups = {direction.value: flips.groups for direction, flips in found.items()}
    digest = digest_of([str(version), str(against), facts, groups])
    with transaction.atomic():
        diff, is_new = VerdictDiff.objects.get_or_create(
            version=version,
            digest=digest,
            defaults=facts | {"against": against, "since": week.since, "until": week.until},
        )
        if is_new:
            DiffGroup.objects.bulk_create(
                DiffGroup(diff=diff, direction=direction, **group) for direction in found for group in groups[direction]
            )
    return diff


def flips(text: str, week: Week, version: Version, against: Version, threshold: float) -> Flips:
    """Return what passes a filter that names both versions (which may be one), by look, with the score of each."""
    with opened(weeks.ask(text, week, version, threshold), limited=False) as asked:
        own, other = (asked.question.versions.index(str(one)) for one in (version, against))
        columns = ", ".join(f"s.{name}" for name in COLUMNS)
        asked.keep(
            "flips",
            f"SELECT s.rid, s.src_ip, {columns}, hash({columns}) AS look, "
            f"m{own}.raw AS raw, m{other}.raw AS other, coalesce(m{own}.rules, m{other}.rules) AS rules",
        )
        connection = asked.connection
        sessions, hosts = _one(connection, "SELECT count(*), count(DISTINCT src_ip) FROM flips")
        return Flips(text, Extent(sessions, hosts), _groups(connection) if sessions else [])


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    [row] = connection.execute(sql).fetchall()
    return tuple(row)


def _groups(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return the flips by shape, the largest groups first; what is beyond them is one group without a shape."""
    columns = ", ".join(f"any_value({name}) AS {name}" for name in COLUMNS)
    looks = connection.sql(
        f"SELECT look, {columns} FROM flips GROUP BY look ORDER BY count(*) DESC, look LIMIT {MOST_LOOKS}"  # noqa: S608
    ).to_arrow_table()
    rows = looks.to_pylist()
    known: dict[str, Named] = {}
    shapes = []
    for row in rows:
        shapes.append(shape := shape_of(row))
        known.setdefault(shape, Named(title_of(row), write_look(look_of(row))))
    connection.register("named", pa.table({"look": looks["look"], "shape": pa.array(shapes, pa.string())}))
    found = connection.execute(
        f"""
        WITH shaped AS (SELECT f.*, coalesce(n.shape, '') AS full_shape FROM flips f LEFT JOIN named n USING (look)),
        largest AS (SELECT full_shape FROM shaped WHERE full_shape != ''
                    GROUP BY full_shape ORDER BY count(*) DESC, full_shape LIMIT {MOST_GROUPS})
        SELECT coalesce(l.full_shape, '') AS shape, count(*), count(DISTINCT s.src_ip),
               count(*) FILTER (s.rules = {RuleVerdict.HIT.value}), max(s.raw), max(s.other),
               list(s.rid ORDER BY s.rid DESC)[:{EXAMPLES}]
        FROM shaped s LEFT JOIN largest l USING (full_shape)
        GROUP BY 1 ORDER BY 2 DESC, 1
        """  # noqa: S608 - constants of this module
    ).fetchall()
    return [_group(known, *row) for row in found]


def _group(
    known: dict[str, Named],
    shape: str,
    sessions: int,
    hosts: int,
    rules_hit: int,
    raw: float | None,
    other: float | None,
    rids: list[int],
) -> dict[str, Any]:
    named = known.get(shape, Named("", ""))
    return {
        "shape": shape,
        "title": storable(named.title)[:255],
        "look": storable(named.look),
        "sessions": sessions,
        "hosts": hosts,
        "rules_hit": rules_hit,
        "score": _score(raw),
        "against_score": _score(other),
        "rids": rids,
    }


def _score(raw: float | None) -> float | None:
    return None if raw is None or math.isnan(raw) else sigmoid(raw)


# ---- what people said


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A group and the newest word about its look, which may be about an earlier diff of the same versions."""

    group: DiffGroup
    review: DiffReview | None


def groups_of(diff: VerdictDiff) -> list[Reviewed]:
    """Return the groups of a diff with what was said of their looks."""
    said = _said(diff)
    return [Reviewed(group, said.get((group.direction, group.shape))) for group in diff.groups.all()]


def _said(diff: VerdictDiff) -> dict[tuple[str, str], DiffReview]:
    """Return the newest review per direction and look; of looks without a shape only those of this very diff."""
    same = DiffReview.objects.filter(
        group__diff__version=diff.version_id,
        group__diff__threshold=diff.threshold,
        group__diff__against=diff.against_id,
        group__diff__against_threshold=diff.against_threshold,
    )
    reviews = same.select_related("group", "by").order_by("id")
    return {
        (review.group.direction, review.group.shape): review
        for review in reviews
        if review.group.shape or review.group.diff_id == diff.pk
    }


def state_of(version: Version, threshold: float) -> str:
    """Return what gate reports rest on: a digest of the reviews so far; it changes with each."""
    reviews = DiffReview.objects.filter(group__diff__version=version, group__diff__threshold=threshold)
    return digest_of(sorted(reviews.values_list("pk", flat=True)))


@transaction.atomic
def review(diff: VerdictDiff, groups: Sequence[int], outcome: str, by: User, note: str = "") -> list[DiffGroup]:
    """Say of some groups that they are as they should be, or that experts label them; return those newly said so.

    Raises ReviewRefused."""
    if not by.has_role(*EXPERTS):
        raise ReviewRefused(_("Flips are judged by experts."))
    if outcome not in DiffReview.Outcome.values:
        raise ReviewRefused(_("Accept a group, or have it labelled."))
    Version.objects.select_for_update().get(pk=diff.version_id)  # two reviews follow each other
    said = _said(diff)
    chosen = [group for group in diff.groups.filter(pk__in=groups) if (group.direction, group.shape) not in said]
    note = reason_of(note)
    for group in chosen:
        DiffReview.objects.create(group=group, outcome=outcome, note=note, by=by, role=by.role)
    if chosen:
        audit.record(by, "diff.reviewed", str(diff.version), diff=diff.pk, groups=len(chosen), outcome=outcome)
    return chosen
