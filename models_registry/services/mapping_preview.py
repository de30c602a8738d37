"""What a rule mapping would mean: which known rules speak about the class, and how often they did lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
from django.core.cache import cache

from detection.rules import RuleMapping, hit_of
from traffic import storage
from traffic.models import RuleSet, Segment
from traffic.services import rule_sets

DAYS = 7  # of intake that are looked at,
MOST_SESSIONS = 1_000_000  # the newest, so that a form answers while somebody types
RULE_SETS = 5  # newest first
SHOWN = 12  # rules named, those that spoke most
CACHED = 300  # seconds
_HITS = (
    "SELECT hit.sid, hit.signature, hit.category, hit.severity, count(*) "
    "FROM (SELECT unnest(hits) AS hit FROM sessions) GROUP BY ALL"
)


@dataclass(frozen=True, slots=True)
class Speaking:
    """How many rules of a set speak about the class."""

    rule_set: RuleSet
    speaking: int
    rules: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that spoke, and how often."""

    sid: int
    signature: str
    hits: int


@dataclass(frozen=True, slots=True)
class Preview:
    """`rules` are the loudest of those that speak; `others` are the loudest of those that do not."""

    rule_sets: list[Speaking]
    sessions: int
    hits: int
    rules: list[Rule]
    others: list[Rule]


def preview(mapping: RuleMapping, protocol: str, now: datetime) -> Preview:
    """Return what this mapping says about known rule sets and about the hits of the last days."""
    sessions, hits = _hits(protocol, now - timedelta(days=DAYS))
    spoke: dict[bool, list[Rule]] = {True: [], False: []}
    for sid, signature, category, severity, count in sorted(hits, key=lambda row: -row[4]):
        hit = {"sid": sid, "signature": signature, "category": category, "severity": severity}
        spoke[mapping.matches(hit)].append(Rule(sid, signature or "", count))
    return Preview(
        rule_sets=[_speaking(mapping, one) for one in RuleSet.objects.order_by("-id")[:RULE_SETS]],
        sessions=sessions,
        hits=sum(rule.hits for rule in spoke[True]),
        rules=spoke[True][:SHOWN],
        others=spoke[False][:SHOWN],
    )


def _speaking(mapping: RuleMapping, rule_set: RuleSet) -> Speaking:
    index = rule_sets.rule_index(rule_set)
    return Speaking(rule_set, sum(mapping.matches(hit_of(rule)) for rule in index), len(index))


def _hits(protocol: str, since: datetime) -> tuple[int, list[tuple[Any, ...]]]:
    """Return the sessions looked at, and each rule that hit them with its count; the same for every keystroke."""
    segments = (
        Segment.objects.of_traffic().filter(protocol=protocol, created_at__gte=since).order_by("-created_at", "-id")
    )
    newest = segments.first()
    if newest is None:
        return 0, []
    key = f"rule-hits-{protocol}-{newest.pk}"
    found: tuple[int, list[tuple[Any, ...]]] | None = cache.get(key)
    if found is None:
        found = _counted(segments.values_list("sessions_path", "rows"))
        cache.set(key, found, CACHED)
    return found


def _counted(segments: Any) -> tuple[int, list[tuple[Any, ...]]]:
    paths, sessions = [], 0
    for path, rows in segments.iterator(chunk_size=100):
        paths.append(path)
        sessions += rows
        if sessions >= MOST_SESSIONS:
            break
    with duckdb.connect() as connection:
        connection.register("sessions", storage.dataset(paths))
        return sessions, connection.execute(_HITS).fetchall()
