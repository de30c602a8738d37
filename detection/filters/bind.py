"""Tree → predicate: names are looked up, values get the type of their field; all that can be wrong is said here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from detection.filters.errors import FilterError, _, nearest
from detection.filters.fields import BY_NAME, FUNCTIONS, MODEL_PARTS, Field, Kind, Place
from detection.filters.looks import Look, read_look
from detection.filters.predicates import (
    And,
    FieldTest,
    LabelTest,
    LookTest,
    Network,
    Not,
    Op,
    Or,
    Predicate,
    RulesTest,
    ScoreTest,
    VerdictTest,
)
from detection.filters.tree import Comparison, Either, Form, Name, Negated, Node, Relation, Value
from detection.rules import RuleVerdict

_OPS = {
    Relation.EQUAL: Op.EQUAL,
    Relation.UNEQUAL: Op.EQUAL,  # and negated
    Relation.LESS: Op.LESS,
    Relation.AT_MOST: Op.AT_MOST,
    Relation.MORE: Op.MORE,
    Relation.AT_LEAST: Op.AT_LEAST,
    Relation.LIKE: Op.LIKE,
    Relation.AMONG: Op.AMONG,
}
_ORDERS = (Op.LESS, Op.AT_MOST, Op.MORE, Op.AT_LEAST)
_RULES = {"hit": RuleVerdict.HIT, "clean": RuleVerdict.CLEAN, "not-inspected": RuleVerdict.NOT_INSPECTED}
_VERDICTS = {"positive": True, "negative": False}
_ANSWERS = ("positive", "negative", "undecided")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LARGEST = 2**63 - 1
_NO_OWNERS = _(
    "nobody has told who owns addresses: import a list of owners first (a MaxMind ASN file or a CSV of ranges)"
)


@dataclass(frozen=True, slots=True)
class Version:
    """A version that a filter may name."""

    name: str  # "ktalk:3"
    raw_threshold: float  # verdict: raw sum >= this
    protocol: str = ""


@dataclass(frozen=True, slots=True)
class Voice:
    """What a version makes of a positive verdict in the words of the consoles: the virtual fields."""

    version: str
    message: str  # "[ML-TEST] Looks like ktalk.exe"
    service: str  # "ktalk.exe"
    flag: str  # "APP_SERVICE_ML"


class Names(Protocol):
    """What names mean today; the registry answers."""

    def version(self, written: str) -> Version | None:
        """Return the version of "ktalk:3", or the one under test or in force of "ktalk"; None when there is none."""

    def known_versions(self) -> Sequence[str]:
        """Return names to suggest."""

    def detectors(self) -> Sequence[str]:
        """Return the detectors that labels may be about."""

    def voices(self) -> Sequence[Voice]:
        """Return the versions under test or in force, one per detector."""

    def owners_known(self) -> bool:
        """Whether anything tells who owns an address."""

    def look(self, written: str) -> Look | None:
        """Return the look that goes by a fingerprint; None when nobody knows it."""


def bind(node: Node, names: Names, now: datetime) -> Predicate:
    """Return what the filter means now. Raises FilterError."""
    if isinstance(node, Comparison):
        return _comparison(node, names, now)
    if isinstance(node, Negated):
        return Not(bind(node.child, names, now))
    children = tuple(bind(child, names, now) for child in node.children)
    return Or(children) if isinstance(node, Either) else And(children)


def _comparison(node: Comparison, names: Names, now: datetime) -> Predicate:
    test = _positive(node, names, now)
    return Not(test) if node.relation is Relation.UNEQUAL else test


def _positive(node: Comparison, names: Names, now: datetime) -> Predicate:
    if node.name.argument is not None or node.name.text in FUNCTIONS:
        return _function(node, names)
    field = BY_NAME.get(node.name.text)
    if field is None:
        known = [*BY_NAME, *(f'{name}("…")' for name in FUNCTIONS)]
        meant = nearest(node.name.text, known)
        raise FilterError(_("there is no field “{name}”"), node.name.column, meant, name=node.name.text)
    if field.column == "dst_org" and not names.owners_known():
        raise FilterError(
            _NO_OWNERS,
            node.name.column,
        )
    if field.place is Place.MODEL:
        return _virtual(field, node, names)
    if field.place is Place.LOOK:
        return _look(node, names)
    return _field(field, node, now)


# ---- fields that lie in files


def _field(field: Field, node: Comparison, now: datetime) -> Predicate:
    op = _OPS[node.relation]
    values = node.values
    if field.kind is Kind.ADDRESS and op in (Op.EQUAL, Op.AMONG):
        return _or([_missing(field) if _is_null(one) else _address(field, one) for one in values])
    if op is Op.AMONG:
        nulls = [one for one in values if _is_null(one)]
        typed = tuple(dict.fromkeys(_typed(field, one, now) for one in values if not _is_null(one)))
        return _or([*(_missing(field) for _ in nulls[:1]), *([FieldTest(field, op, typed)] if typed else [])])
    [value] = values
    if _is_null(value):
        if op is not Op.EQUAL:
            sentence = _("null is a missing value: write == null or != null, not {relation} null")
            raise FilterError(sentence, value.column, relation=op.value)
        return _missing(field)
    if op is Op.LIKE:
        _refuse_pattern(field, value)
        return FieldTest(field, op, value.text)
    if op in _ORDERS and field.kind not in (Kind.INTEGER, Kind.TIME):
        raise FilterError(_("{field} has no order: use ==, !=, in or ~"), node.name.column, field=field.name)
    return FieldTest(field, op, _typed(field, value, now))


def _look(node: Comparison, names: Names) -> Predicate:
    if _OPS[node.relation] not in (Op.EQUAL, Op.AMONG):
        raise FilterError(_("compare looks with ==, != or in"), node.name.column)
    tests = []
    for value in node.values:
        look = read_look(value.text) or names.look(value.text)
        if look is None:
            sentence = _("no item has the fingerprint “{value}”: open a session and follow its look-alikes")
            raise FilterError(sentence, value.column, value=value.text)
        tests.append(LookTest(look))
    return _or(tests)


def _missing(field: Field) -> FieldTest:
    return FieldTest(field, Op.MISSING, None)


def _or(children: Sequence[Predicate]) -> Predicate:
    return children[0] if len(children) == 1 else Or(tuple(children))


def _is_null(value: Value) -> bool:
    return value.form is Form.NULL


def _refuse_pattern(field: Field, value: Value) -> None:
    if field.kind in (Kind.INTEGER, Kind.TIME):
        is_time = field.kind is Kind.TIME
        sentence = _("~ compares texts, {field} is a time") if is_time else _("~ compares texts, {field} is a number")
        raise FilterError(sentence, value.column, field=field.name)


def _typed(field: Field, value: Value, now: datetime) -> str | int:
    if field.kind is Kind.INTEGER:
        return _integer(field, value)
    if field.kind is Kind.TIME:
        return _moment(value, now)
    return value.text


def _integer(field: Field, value: Value) -> int:
    if not re.fullmatch(r"-?\d+", value.text) or abs(int(value.text)) > _LARGEST:
        sentence = _("{field} is a whole number, “{value}” is none")
        raise FilterError(sentence, value.column, field=field.name, value=value.text)
    return int(value.text)


def _moment(value: Value, now: datetime) -> int:
    """Return microseconds since 1970 of "2026-03-03", "2026-03-03T10:00:00Z", "now", "-24h"; without zone: UTC."""
    text = value.text
    if text.lower() == "now":
        return _microseconds(now)
    try:
        if ago := re.fullmatch(r"-(\d+)([smhdw])", text, re.IGNORECASE):
            return _microseconds(now - timedelta(**{_UNITS[ago[2].lower()]: int(ago[1])}))
        moment = datetime.fromisoformat(text)
        return _microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        example = "2026-03-03, 2026-03-03T10:00:00Z, now, -24h"
        raise FilterError(
            _("“{value}” is no time; write {example}"), value.column, value=text, example=example
        ) from None


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _address(field: Field, value: Value) -> FieldTest:
    try:
        if "/" in value.text:
            network: Network = ipaddress.ip_network(value.text, strict=False)
            return FieldTest(field, Op.WITHIN, network)
        address = ipaddress.ip_address(value.text)
    except ValueError:
        raise FilterError(
            _("“{value}” is no address and no network; write 10.1.2.3, 10.0.0.0/8 or “2001:db8::/32”"),
            value.column,
            value=value.text,
        ) from None
    if address.version == 6:  # sensors write one address in several ways
        return FieldTest(field, Op.WITHIN, ipaddress.ip_network(address))
    return FieldTest(field, Op.EQUAL, str(address))


# ---- what models and experts say


def _function(node: Comparison, names: Names) -> Predicate:
    name = node.name
    if name.text not in FUNCTIONS:
        meant = nearest(name.text, FUNCTIONS)
        raise FilterError(_("“{name}” takes no brackets"), name.column, meant, name=name.text)
    if name.argument is None:
        raise FilterError(_('write {name}("…") with a name in it'), name.column, name=name.text)
    if name.text == "label":
        return _label(node, name, names)
    if name.part not in MODEL_PARTS:
        parts = ", ".join(f".{part}" for part in MODEL_PARTS)
        meant = nearest(name.part, MODEL_PARTS)
        raise FilterError(_('after model("…") comes one of {parts}'), name.column, meant, parts=parts)
    version = names.version(name.argument)
    if version is None:
        raise FilterError(
            _("there is no version “{name}”"),
            name.argument_column,
            nearest(name.argument, names.known_versions()),
            name=name.argument,
        )
    if name.part == "score":
        return _score(node, version)
    if name.part == "verdict":
        return _words(node, lambda word: VerdictTest(version.name, _VERDICTS[word]), tuple(_VERDICTS))
    return _words(node, lambda word: RulesTest(version.name, _RULES[word]), tuple(_RULES))


def _label(node: Comparison, name: Name, names: Names) -> Predicate:
    detector = name.argument or ""
    if name.part:
        raise FilterError(_('label("{name}") has no parts'), name.column, name=detector)
    if detector not in names.detectors():
        meant = nearest(detector, names.detectors())
        raise FilterError(_("there is no detector “{name}”"), name.argument_column, meant, name=detector)
    return _words(node, lambda word: LabelTest(detector, word), _ANSWERS, LabelTest(detector, None))


def _score(node: Comparison, version: Version) -> Predicate:
    op = _OPS[node.relation]
    if op is Op.LIKE:
        raise FilterError(_("~ compares texts, a score is a number"), node.name.column)
    tests = [_one_score(version, Op.EQUAL if op is Op.AMONG else op, value) for value in node.values]
    return _or(tests)


def _one_score(version: Version, op: Op, value: Value) -> ScoreTest:
    if _is_null(value) and op is Op.EQUAL:
        return ScoreTest(version.name, Op.MISSING, None)
    try:
        number = float(value.text)
    except ValueError:
        number = -1.0
    if value.form not in (Form.NUMBER, Form.QUOTED) or not 0 <= number <= 1:
        sentence = _("a score is a number from 0 to 1, “{value}” is none")
        raise FilterError(sentence, value.column, value=value.text)
    return ScoreTest(version.name, op, number)


def _words(
    node: Comparison, test: Callable[[str], Predicate], known: Sequence[str], missing: Predicate | None = None
) -> Predicate:
    """Return tests of a field that only knows some words."""
    if _OPS[node.relation] not in (Op.EQUAL, Op.AMONG):
        raise FilterError(_("compare with ==, != or in ({known})"), node.name.column, known=", ".join(known))
    found = []
    for value in node.values:
        word = value.text.lower()
        if _is_null(value) and missing is not None:
            found.append(missing)
        elif word in known:
            found.append(test(word))
        else:
            sentence, meant = _("“{value}” is none of {known}"), nearest(word, known)
            raise FilterError(sentence, value.column, meant, value=value.text, known=", ".join(known))
    return _or(found)


# ---- the words of the consoles


def _virtual(field: Field, node: Comparison, names: Names) -> Predicate:
    """Return who would say such a thing: `alert.msg` of rules and models, `app_service` and `flags` of models."""
    op = _OPS[node.relation]
    if op in _ORDERS:
        raise FilterError(_("{field} has no order: use ==, !=, in or ~"), node.name.column, field=field.name)
    speakers: list[Predicate] = []
    for value in node.values:
        if _is_null(value):
            anybody = [VerdictTest(voice.version, True) for voice in names.voices()]
            rules = [Not(_missing(_RULE_NAME))] if field.column == "message" else []
            speakers.append(Not(Or((*anybody, *rules))))
            continue
        models = [
            VerdictTest(voice.version, True)
            for voice in names.voices()
            if _says(str(getattr(voice, field.column)), value.text, op)
        ]
        speakers += models
        # what a model says in these very words is no rule's: then only its scores are asked
        if field.column == "message" and (op is Op.LIKE or not models):
            speakers.append(FieldTest(_RULE_NAME, Op.LIKE if op is Op.LIKE else Op.EQUAL, value.text))
    return _or(speakers)


_RULE_NAME = BY_NAME["rule.msg"]


def _says(said: str, wanted: str, op: Op) -> bool:
    if op is not Op.LIKE:
        return said == wanted
    pattern = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in wanted)
    return re.fullmatch(pattern, said, re.IGNORECASE | re.DOTALL) is not None
