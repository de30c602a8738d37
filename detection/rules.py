"""What the rules of a detector's class said about a session: the rule verdict, and the weak label it may give.

Rule verdicts are opinions of machines. They fill the board and may train with a low weight; they never gate.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import Enum, IntEnum
from functools import lru_cache
from typing import Any

from detection.classtypes import CLASSTYPES
from detection.sessions import FLOW, Row

# signatures of the engine itself: they report odd protocol use, not malice
PROTOCOL_ODDITY = "SURICATA *"


class RuleVerdict(IntEnum):
    """Stored as int8 in score files, so the numbers never change."""

    NOT_INSPECTED = 0
    CLEAN = 1
    HIT = 2


class WeakLabel(Enum):
    POSITIVE = "positive"
    NEGATIVE = "negative"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class RuleMapping:
    """Which rules speak about a detector's class.

    A hit counts when no exclusion matches it, at least one of sids, categories, classtypes and name patterns
    does, and its severity is at most `max_severity` (1 is worst; None: any). Names, categories and patterns
    (`*`, `?`, `[...]`) ignore case. Exclusions given by the user replace the default, which takes out "SURICATA ...".
    """

    sids: frozenset[int] = frozenset()
    categories: frozenset[str] = frozenset()
    classtypes: frozenset[str] = frozenset()
    max_severity: int | None = None
    name_patterns: tuple[str, ...] = ()
    exclude_sids: frozenset[int] = frozenset()
    exclude_name_patterns: tuple[str, ...] = (PROTOCOL_ODDITY,)

    def __post_init__(self) -> None:
        unknown = self.classtypes - CLASSTYPES.keys()
        if unknown:
            raise ValueError(f"classtypes: unknown {sorted(unknown)}; see detection/classtypes.py for the known ones")

    def matches(self, hit: Mapping[str, Any]) -> bool:
        """Does this rule hit speak about the class?"""
        return _matches(self, hit["sid"], hit["signature"] or "", hit["category"] or "", hit["severity"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values in a fixed order; `from_dict` reads them back."""
        return {
            "sids": sorted(self.sids),
            "categories": sorted(self.categories),
            "classtypes": sorted(self.classtypes),
            "max_severity": self.max_severity,
            "name_patterns": sorted(self.name_patterns),
            "exclude_sids": sorted(self.exclude_sids),
            "exclude_name_patterns": sorted(self.exclude_name_patterns),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RuleMapping:
        """Read a mapping from YAML or JSON values; ValueError names the key and what was expected."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"rules: unknown keys {sorted(map(str, unknown))}")
        return cls(
            sids=frozenset(_numbers(values, "sids")),
            categories=frozenset(_texts(values, "categories", ())),
            classtypes=frozenset(_texts(values, "classtypes", ())),
            max_severity=_severity(values.get("max_severity")),
            name_patterns=tuple(sorted(_texts(values, "name_patterns", ()))),
            exclude_sids=frozenset(_numbers(values, "exclude_sids")),
            exclude_name_patterns=tuple(sorted(_texts(values, "exclude_name_patterns", (PROTOCOL_ODDITY,)))),
        )

    @property
    def digest(self) -> str:
        """SHA-256 of the mapping; the order in which its parts were written does not matter."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def rule_verdict(hits: Iterable[Mapping[str, Any]] | None, mapping: RuleMapping, *, inspected: bool) -> RuleVerdict:
    """Return what the rules of the class said. A flow-level hit counts: the rules spoke about this flow.

    A hit of the class is a fact even where nobody declared the rule set, so it wins over `inspected`."""
    if any(mapping.matches(hit) for hit in hits or ()):
        return RuleVerdict.HIT
    return RuleVerdict.CLEAN if inspected else RuleVerdict.NOT_INSPECTED


def weak_label(row: Row, mapping: RuleMapping, *, inspected: bool) -> WeakLabel:
    """Return what the rules may teach about this session.

    Positive: a hit of the class that surely belongs to this session. Negative: inspected, and no rule said
    anything but "SURICATA ..."; a hit of another class is a doubt, so it teaches nothing either way."""
    hits = row["hits"] or ()
    speaking = [hit for hit in hits if mapping.matches(hit)]
    if speaking:
        alone = row["flow_sessions"] == 1  # a flow-level hit cannot say which of several sessions it means
        return WeakLabel.POSITIVE if alone or any(hit["scope"] != FLOW for hit in speaking) else WeakLabel.NONE
    if inspected and all(is_protocol_oddity(hit) for hit in hits):
        return WeakLabel.NEGATIVE
    return WeakLabel.NONE


def is_protocol_oddity(hit: Mapping[str, Any]) -> bool:
    """Is this the engine talking about odd protocol use, and no threat rule?"""
    return _name_matches((PROTOCOL_ODDITY,), hit["signature"] or "")


def covers(mapping: RuleMapping, rule_index: Iterable[Mapping[str, Any]]) -> bool:
    """Does this rule set (sid, msg, classtype, priority of each rule) hold any rule of the class?

    Where it does not, silence of the rules says nothing: the sessions are not inspected."""
    return any(mapping.matches(hit_of(rule)) for rule in rule_index)


def hit_of(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hit that a rule of a set would make."""
    classtype = CLASSTYPES.get(str(rule.get("classtype") or ""))
    priority = rule.get("priority")
    return {
        "sid": int(rule["sid"]),
        "signature": rule.get("msg") or "",
        "category": classtype.description if classtype else rule.get("category") or "",
        "severity": int(priority) if priority not in (None, "") else classtype.priority if classtype else None,
    }


@lru_cache(maxsize=1 << 16)  # a feed repeats few signatures; deciding once per signature makes a batch cheap
def _matches(mapping: RuleMapping, sid: int, signature: str, category: str, severity: int | None) -> bool:
    if sid in mapping.exclude_sids or _name_matches(mapping.exclude_name_patterns, signature):
        return False
    if mapping.max_severity is not None and (severity is None or severity > mapping.max_severity):
        return False
    return (
        sid in mapping.sids
        or category.casefold() in _categories(mapping)
        or _name_matches(mapping.name_patterns, signature)
    )


@lru_cache(maxsize=256)
def _categories(mapping: RuleMapping) -> frozenset[str]:
    described = (CLASSTYPES[name].description for name in mapping.classtypes)
    return frozenset(text.casefold() for text in (*mapping.categories, *described))


def _name_matches(patterns: tuple[str, ...], name: str) -> bool:
    return bool(patterns) and _compiled(patterns).match(name.casefold()) is not None


@lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern.casefold()) for pattern in patterns))


def _texts(values: Mapping[str, Any], key: str, default: tuple[str, ...]) -> list[str]:
    given = values.get(key)
    if given is None:
        return list(default)
    if not isinstance(given, list | tuple) or not all(isinstance(text, str) and text for text in given):
        raise ValueError(f"rules.{key}: expected a list of texts, got {given!r}")
    return list(given)


def _numbers(values: Mapping[str, Any], key: str) -> list[int]:
    given = values.get(key)
    if given is None:
        return []
    if not isinstance(given, list | tuple) or not all(type(number) is int for number in given):
        raise ValueError(f"rules.{key}: expected a list of signature ids, got {given!r}")
    return list(given)


def _severity(given: Any) -> int | None:
    if given is not None and (type(given) is not int or not 1 <= given <= 255):
        raise ValueError(f"rules.max_severity: expected a number from 1 (worst) to 255, got {given!r}")
    return given
