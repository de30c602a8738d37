"""Predicate → DuckDB SQL. Nothing that a user typed is part of the text: every value is a named parameter.

The question reads tables that the caller registers: `sessions` (detection.tables.SESSION_SCHEMA), `segments` (segment,
sensor), `scores_0`, `scores_1` ... (SCORE_SCHEMA) of the versions it names and `labels_0` ... (sensor, flow_id, tx_id,
start, answer; one row per session) of the detectors; where looks are asked, the connection
knows them (detection.filters.looks.offer_looks). Score files join on rid; where a session passes only with a score,
the score is asked first, inside the join.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from detection.filters.fields import Kind, Place
from detection.filters.looks import COLUMNS, Look, hints, write_look
from detection.filters.predicates import (
    And,
    FieldTest,
    LabelTest,
    LookTest,
    Not,
    Op,
    Or,
    Predicate,
    RulesTest,
    ScoreTest,
    VerdictTest,
    conjuncts,
)
from detection.thresholds import least_raw

_RELATIONS = {Op.EQUAL: "=", Op.LESS: "<", Op.AT_MOST: "<=", Op.MORE: ">", Op.AT_LEAST: ">="}
_ESCAPED = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_", "*": "%", "?": "_"})
# 32 hex digits of an IPv6 address, however it is shortened
_IPV6 = """CASE WHEN contains({0}, ':') THEN array_to_string(list_transform(list_concat(list_concat(
    list_filter(string_split(split_part({0}, '::', 1), ':'), lambda g: g <> ''),
    CASE WHEN contains({0}, '::') THEN list_resize(CAST([] AS VARCHAR[]), greatest(0, 8
        - len(list_filter(string_split(replace({0}, '::', ':'), ':'), lambda g: g <> ''))), '0') ELSE [] END),
    list_filter(string_split(split_part({0}, '::', 2), ':'), lambda g: g <> '')),
    lambda g: lpad(lower(g), 4, '0')), '') END"""


@dataclass(slots=True)
class Question:
    """`SELECT ... {source}`: FROM, JOIN and WHERE with aliases s (session), g (segment), m0 ... (scores)."""

    source: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)  # of scores_0, scores_1 ...
    detectors: list[str] = field(default_factory=list)  # of labels_0, labels_1 ...
    required: set[str] = field(default_factory=set)  # versions without whose score no session passes
    segments: bool = False  # whether `segments` is asked


def compile_sql(predicate: Predicate, raw_thresholds: Mapping[str, float], *, segments: bool = False) -> Question:
    """Return the question whose rows are the sessions that pass, each once.

    raw_thresholds: version → raw sum from which its verdict is positive. `segments` joins that table in any case."""
    compiler = _Compiler(raw_thresholds)
    compiler.question.segments = segments
    apart: dict[str, list[str]] = {}
    rest = []
    for test in conjuncts(predicate):
        version = _needs(test)
        if version is None:
            rest.append(compiler.sql(test))
        else:
            apart.setdefault(version, []).append(compiler.sql(test, alias="x"))
    question = compiler.question
    question.required = set(apart)
    question.source = "\n".join(
        [
            "FROM sessions s",
            *(_score_join(index, apart.get(version)) for index, version in enumerate(question.versions)),
            *(["LEFT JOIN segments g ON g.segment = s.rid >> 32"] if question.segments or question.detectors else []),
            *(_label_join(index) for index in range(len(question.detectors))),
            f"WHERE {' AND '.join(rest) or 'true'}",
        ]
    )
    return question


def _needs(test: Predicate) -> str | None:
    """Return the version without whose score the test fails."""
    if isinstance(test, VerdictTest | RulesTest) or (isinstance(test, ScoreTest) and test.op is not Op.MISSING):
        return test.version
    return None


def _score_join(index: int, conditions: list[str] | None) -> str:
    if conditions is None:
        return f"LEFT JOIN scores_{index} m{index} ON m{index}.rid = s.rid"
    asked = f"SELECT rid, raw, rules FROM scores_{index} x WHERE {' AND '.join(conditions)}"  # noqa: S608 - ours
    return f"JOIN ({asked}) m{index} ON m{index}.rid = s.rid"


def _label_join(index: int) -> str:
    label = f"l{index}"
    return (
        f"LEFT JOIN labels_{index} {label} ON {label}.sensor = g.sensor AND {label}.flow_id = s.flow_id"
        f" AND {label}.start = s.start AND {label}.tx_id IS NOT DISTINCT FROM s.tx_id"
    )


class _Compiler:
    def __init__(self, raw_thresholds: Mapping[str, float]) -> None:
        self.question = Question()
        self._raw_thresholds = raw_thresholds

    def sql(self, predicate: Predicate, alias: str = "") -> str:
        """Return the condition; true where it passes, false or null where not. `alias` stands for the scores."""
        match predicate:
            case And(children):
                return f"({' AND '.join(map(self.sql, children)) or 'true'})"
            case Or(children):
                return f"({' OR '.join(map(self.sql, children)) or 'false'})"
            case Not(child):
                return f"(({self.sql(child)}) IS NOT TRUE)"
            case FieldTest():
                return self._field(predicate)
            case ScoreTest(version, op, value):
                return self._score(alias or self._scores(version), op, value, version)
            case VerdictTest(version, positive):
                scores = self._known(version, alias)
                relation = ">=" if positive else "<"
                return f"{scores}.raw {relation} {self._value(self._raw_thresholds[version])}"
            case RulesTest(version, verdict):
                return f"{self._known(version, alias)}.rules = {self._value(verdict)}"
            case LookTest(look):
                return self._look(look)
            case LabelTest(detector, answer):
                label = self._label(detector)
                return f"{label}.answer IS NULL" if answer is None else f"{label}.answer = {self._value(answer)}"

    def _value(self, value: Any) -> str:
        name = f"p{len(self.question.parameters)}"
        self.question.parameters[name] = value
        return f"${name}"

    def _known(self, version: str, alias: str) -> str:
        scores = self._scores(version)
        return alias or scores

    def _scores(self, version: str) -> str:
        return f"m{_index(self.question.versions, version)}"

    def _label(self, detector: str) -> str:
        return f"l{_index(self.question.detectors, detector)}"

    def _score(self, alias: str, op: Op, value: float | None, version: str) -> str:
        """Compare on raw sums: the same verdicts, bit for bit, as comparing the probability."""
        self._scores(version)
        raw = f"{alias}.raw"
        if value is None:
            return f"{raw} IS NULL"
        low, above = least_raw(value), least_raw(math.nextafter(value, math.inf))
        if op is Op.EQUAL:
            return f"({raw} >= {self._value(low)} AND {raw} < {self._value(above)})"
        relation = ">=" if op in (Op.AT_LEAST, Op.MORE) else "<"
        return f"{raw} {relation} {self._value(low if op in (Op.AT_LEAST, Op.LESS) else above)}"

    def _look(self, look: Look) -> str:
        """Ask single columns first: CASE sees to it that only what passes is looked at closely."""
        likely = [
            hint.condition.format(column=f"s.{hint.column}", value=self._value(hint.value)) for hint in hints(look)
        ]
        columns = ", ".join(f"s.{column}" for column in COLUMNS)
        return f"CASE WHEN {' AND '.join(likely)} THEN look_of({columns}) = {self._value(write_look(look))} END"

    def _field(self, test: FieldTest) -> str:
        place = test.field.place
        if place is Place.HIT:
            if test.op is Op.MISSING:
                return f"((len(list_filter(s.hits, lambda h: h.{test.field.column} IS NOT NULL)) > 0) IS NOT TRUE)"
            return f"len(list_filter(s.hits, lambda h: {self._compare(f'h.{test.field.column}', test)})) > 0"
        if place is Place.SEGMENT:
            self.question.segments = True
            return self._compare(f"g.{test.field.column}", test)
        column = f"s.{test.field.column}"
        if not test.field.protocol:
            return self._compare(column, test)
        of_protocol = f"s.protocol = {self._value(test.field.protocol)}"
        if test.op is Op.MISSING:
            return f"(({of_protocol} AND {column} IS NOT NULL) IS NOT TRUE)"
        return f"({of_protocol} AND {self._compare(column, test)})"

    def _compare(self, column: str, test: FieldTest) -> str:
        op, value = test.op, test.value
        if op is Op.MISSING:
            return f"{column} IS NULL"
        if op is Op.LIKE:
            return self._like(column, str(value))
        if isinstance(value, IPv4Network | IPv6Network):
            return self._within(column, value)
        if isinstance(value, tuple):
            values = [self._scalar(test, one) for one in value]
            return f"{column} IN ({', '.join(values)})"
        return f"{column} {_RELATIONS[op]} {self._scalar(test, value)}"

    def _like(self, column: str, pattern: str) -> str:
        """Ask for a glob; most look for one text somewhere, which is several times as fast asked plainly."""
        literal = pattern.strip("*")
        if not literal or "*" in literal or "?" in literal:
            return f"lower({column}) LIKE lower({self._value(pattern.translate(_ESCAPED))}) ESCAPE '\\'"
        text = self._value(literal)
        if not (literal.isascii() and literal.lower() == literal.upper()):  # else case changes nothing
            column, text = f"lower({column})", f"lower({text})"
        match (pattern.startswith("*"), pattern.endswith("*")):
            case (True, True):
                return f"contains({column}, {text})"
            case (True, False):
                return f"ends_with({column}, {text})"
            case (False, True):
                return f"starts_with({column}, {text})"
            case _:
                return f"{column} = {text}"

    def _scalar(self, test: FieldTest, value: str | int | None) -> str:
        parameter = self._value(value)
        return f"make_timestamptz({parameter})" if test.field.kind is Kind.TIME else parameter

    def _within(self, column: str, network: IPv4Network | IPv6Network) -> str:
        first, last = network.network_address, network.broadcast_address
        if isinstance(network, IPv6Network):
            low, high = self._value(first.packed.hex()), self._value(last.packed.hex())
            return f"({_IPV6.format(column)}) BETWEEN {low} AND {high}"
        whole, bits = divmod(network.prefixlen, 8)  # octets that are given, and bits of the next one
        octets = str(first).split(".")
        start = "".join(f"{octet}." for octet in octets[:whole])
        if whole == 4:
            return f"{column} = {self._value(str(first))}"
        given = f"starts_with({column}, {self._value(start)})" if whole else f"contains({column}, '.')"
        if not bits:
            return given
        octet = f"TRY_CAST(split_part({column}, '.', {whole + 1}) AS INTEGER)"
        low, high = self._value(int(octets[whole])), self._value(int(str(last).split(".")[whole]))
        return f"({given} AND {octet} BETWEEN {low} AND {high})"


def _index(known: list[str], name: str) -> int:
    if name not in known:
        known.append(name)
    return known.index(name)
