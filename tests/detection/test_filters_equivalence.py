"""Random filters give the same rows by DuckDB as by a slow reader that looks at one row after the other."""

from __future__ import annotations

import ipaddress
import re
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detection.filters import FIELDS, FilterError, bind, compile_sql, parse
from detection.filters.fields import BY_NAME, Kind, Place
from detection.filters.looks import COLUMNS, look_of, offer_looks, write_look
from detection.filters.tree import Comparison, Every, Form, Negated, Relation
from detection.rules import RuleVerdict
from detection.tables import SCORE_SCHEMA, session_table
from detection.thresholds import raw_threshold, sigmoid
from tests.detection.filter_names import LOOK, FakeNames

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
RAW = {"ktalk:3": raw_threshold(0.7), "telegram:1": raw_threshold(0.5)}
TEXTS = ["", "a", "A", "b*c", "a%b_c", "x\\y", "it's", 'say "a"', "né", "ÀÉ", "nul\0nul", "50%", "_", "tls", "Telegram"]
ADDRESSES = ["10.1.2.3", "10.1.20.3", "10.200.0.1", "9.255.255.255", "fe80::1", "fe80:0:0:0:0:0:0:2",
             "2001:db8::10:0:1", "FE80::0001", "::", "::1", "no address"]  # fmt: skip
NETWORKS = ["10.0.0.0/8", "10.1.16.0/20", "10.1.2.3/32", "0.0.0.0/0", "10.1.2.0/23", "fe80::/10", "::/0", "::1/128",
            "2001:db8::/32", "10.1.2.3", "fe80::1", "::"]  # fmt: skip
NUMBERS = [0, 1, -1, 80, 443, 2**62]
SCORES = [0.0, 0.3, 0.5, 0.7, 0.9, 1.0]
LOOKED = [
    {"protocol": "http", "host": "a.example", "method": "GET", "uri": "/search/12?q=one", "user_agent": None,
     "ja3": None, "ja4": None},
    {"protocol": "http", "host": "WWW.A.example:80", "method": "GET", "uri": "/%73earch/7?q=two", "user_agent": "",
     "ja3": "", "ja4": None},
    {"protocol": "http", "host": "b.example", "method": "GET", "uri": "/search/12?q=one", "user_agent": None,
     "ja3": None, "ja4": None},
    {"protocol": "tls", "host": "a.example", "ja4": "t13d1516h2_8daaf6152771_b0da82dd1658", "cert_issuer": None},
    {"protocol": "tls", "host": None, "ja4": None, "ja3": "a" * 32, "cert_issuer": "CN=x, O=Example 12"},
]  # fmt: skip
SERVICES = ["[ML-TEST] Looks like ktalk.exe", "[ML] Looks like Telegram", "Telegram", "ktalk.exe", "APP_SERVICE_ML"]


def _micro(moment):
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


TIMES = [_micro(NOW - timedelta(hours=h)) for h in (0, 1, 24, 25, 400)]


def _rows(count=60):
    """Return rows with every awkward value, missing ones among them; the same each time."""
    rows = []
    for number in range(count):
        row = {}
        for index, field in enumerate(one for one in FIELDS if one.place is Place.SESSION):
            pool = {Kind.TEXT: TEXTS, Kind.ADDRESS: ADDRESSES, Kind.INTEGER: NUMBERS, Kind.TIME: TIMES}[field.kind]
            chosen = [None, *pool][(number * 7 + index * 5 + number // 11) % (len(pool) + 1)]
            row[field.column] = chosen
        row |= LOOKED[number % len(LOOKED)] if number % 3 else {}
        row["start"] = TIMES[number % len(TIMES)] + number
        row["flow_id"] = number
        row["tx_id"] = None if number % 6 == 0 else number % 2  # labelled ones among both
        row["protocol"] = row["protocol"] if number % 3 else ("http", "tls")[number % 2]
        hits = [
            {"sid": NUMBERS[k % 6], "gid": 1, "rev": 1, "signature": TEXTS[(number + k) % len(TEXTS)],
             "category": None if k % 2 else "c", "severity": k, "action": "allowed", "scope": "flow"}
            for k in range(number % 4)
        ]  # fmt: skip
        row["hits"] = hits if number % 5 else None
        rows.append(row)
    return rows


@pytest.fixture(scope="module")
def world(pytestconfig):
    rows = _rows()
    half = len(rows) // 2
    tables = []
    for segment, part in ((1, rows[:half]), (2, rows[half:])):
        columns = {name: [row[name] for row in part] for name in rows[0]}
        tables.append(session_table(columns, segment_id=segment))
    sessions = pa.concat_tables(tables)
    rids = sessions["rid"].to_pylist()
    for row, rid in zip(rows, rids, strict=True):
        row["rid"], row["sensor"] = rid, ("core-1", "dmz")[(rid >> 32) - 1]
    connection = duckdb.connect()
    offer_looks(connection)
    connection.register("sessions", sessions)
    connection.register("segments", pa.table({"segment": [1, 2], "sensor": ["core-1", "dmz"]}))
    scores = {}
    for version, shift in (("ktalk:3", 0), ("telegram:1", 3)):
        known = rids[: half + shift]  # the rest was never scored
        raw = [[-3.0, RAW[version], 0.0, 2.0, 40.0][(i + shift) % 5] for i in range(len(known))]
        rules = [int(list(RuleVerdict)[i % 3]) for i in range(len(known))]
        scores[version] = dict(zip(known, zip(raw, rules, strict=True), strict=True))
        table = {"rid": known, "raw": raw, "verdict": [one >= RAW[version] for one in raw], "rules": rules,
                 "cell": [0] * len(known), "src_ip": [None] * len(known)}  # fmt: skip
        connection.register(f"of {version}", pa.table(table).cast(SCORE_SCHEMA))
    labels = {}
    for detector, step in (("ktalk", 3), ("telegram", 4)):
        chosen = rows[::step]
        answers = [("positive", "negative", "undecided")[i % 3] for i in range(len(chosen))]
        labels[detector] = {row["rid"]: answer for row, answer in zip(chosen, answers, strict=True)}
        columns = {name: [row[name] for row in chosen] for name in ("sensor", "flow_id", "tx_id", "start")}
        table = pa.table({**columns, "answer": answers})
        position = table.column_names.index("start")
        moments = table["start"].cast(pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        connection.register(f"on {detector}", table.set_column(position, "start", moments))
    yield connection, pd.DataFrame(rows, dtype=object), scores, labels
    connection.close()
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        told = f"{CASES['compared']:,} filters gave the same rows as the slow reader, {CASES['refused']:,} were refused"
        sys.stdout.write(f"\n{told}\n")


# ---- the slow reader: from the text's tree, one row after the other


def slow(node, row, scores, labels):
    if isinstance(node, Negated):
        return not slow(node.child, row, scores, labels)
    if not isinstance(node, Comparison):
        outcomes = [slow(child, row, scores, labels) for child in node.children]
        return all(outcomes) if isinstance(node, Every) else any(outcomes)
    values = _values_of(node.name, row, scores, labels)
    passed = any(_passes(node, wanted, values) for wanted in node.values)
    return passed != (node.relation is Relation.UNEQUAL)


def _passes(node, wanted, values):
    if wanted.form is Form.NULL:
        return not values
    return any(_holds(node, wanted.text, value) for value in values)


def _values_of(name, row, scores, labels):
    """Return all values a row has under a name; none when it is missing."""
    if name.text == "label":
        found = labels[name.argument].get(row.rid)
        return [] if found is None else [found]
    if name.text == "model":
        version = (
            name.argument if ":" in name.argument else {"ktalk": "ktalk:3", "telegram": "telegram:1"}[name.argument]
        )
        if row.rid not in scores[version]:
            return []
        raw, rules = scores[version][row.rid]
        said = {
            "score": sigmoid(raw),
            "verdict": "positive" if raw >= RAW[version] else "negative",
            "rules": RuleVerdict(rules).name.lower().replace("_", "-"),
        }
        return [said[name.part]]
    field = BY_NAME[name.text]
    hits = row.hits or []
    if field.place is Place.LOOK:
        return [write_look(look_of({name: getattr(row, name) for name in COLUMNS}))]
    if field.place is Place.MODEL:
        asked = [voice for voice in FakeNames().voices() if row.rid in scores[voice.version]]
        spoke = [voice for voice in asked if scores[voice.version][row.rid][0] >= RAW[voice.version]]
        rules = [hit["signature"] for hit in hits] if field.column == "message" else []
        return [getattr(voice, field.column) for voice in spoke] + rules
    if field.place is Place.HIT:
        return [hit[field.column] for hit in hits if hit[field.column] is not None]
    if field.protocol and row.protocol != field.protocol:
        return []
    found = getattr(row, field.column)
    return [] if found is None else [found]


def _holds(node, wanted, value):
    relation = node.relation
    if node.name.text in BY_NAME:
        field = BY_NAME[node.name.text]
        kind = field.kind
        wanted = write_look(LOOK) if wanted == "f" * 64 else wanted
    else:
        kind = "score" if node.name.part == "score" else Kind.TEXT
        wanted = wanted.lower() if kind is Kind.TEXT else float(wanted)
    if relation is Relation.LIKE:
        folded = "".join(re.escape(c) if c not in "*?" else {"*": ".*", "?": "."}[c] for c in wanted.lower())
        return re.fullmatch(folded, str(value).lower(), re.DOTALL) is not None
    if kind is Kind.ADDRESS:
        try:
            return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)
        except ValueError:
            return False
    if kind is Kind.INTEGER:
        wanted = int(wanted)
    if kind is Kind.TIME:
        hours = re.fullmatch(r"-(\d+)h", wanted)
        moment = NOW - timedelta(hours=int(hours[1])) if hours else datetime.fromisoformat(wanted)
        wanted = _micro(moment)
    return {
        Relation.EQUAL: value == wanted,
        Relation.UNEQUAL: value == wanted,
        Relation.AMONG: value == wanted,
        Relation.LESS: value < wanted if relation is Relation.LESS else False,
        Relation.AT_MOST: value <= wanted if relation is Relation.AT_MOST else False,
        Relation.MORE: value > wanted if relation is Relation.MORE else False,
        Relation.AT_LEAST: value >= wanted if relation is Relation.AT_LEAST else False,
    }[relation]


# ---- random filters


def _quoted(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\0", "\\x00")
    return f'"{escaped}"'


ORDERED = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
EQUALITY = st.sampled_from(["==", "!=", "="])
PATTERNS = st.text(alphabet="aAb*?%_\\éÀ ", max_size=4)


def _set(values):
    return st.lists(values, min_size=1, max_size=3).map(lambda some: f"in ({', '.join(some)})")


def _looks():
    rows = [dict.fromkeys(COLUMNS) | row for row in LOOKED]
    return ["f" * 64, *(_quoted(write_look(look_of(row))) for row in rows)]


def _tests_of(field):
    written = st.sampled_from([field.name, *field.also])
    if field.place is Place.LOOK:
        looks = st.sampled_from(_looks())
        return st.tuples(written, st.tuples(EQUALITY, looks).map(" ".join) | _set(looks)).map(" ".join)
    if field.kind is Kind.INTEGER:
        values = st.sampled_from([*map(str, NUMBERS), "null"])
        numbers = st.sampled_from(list(map(str, NUMBERS)))
        rest = st.one_of(st.tuples(EQUALITY, values), st.tuples(ORDERED, numbers)).map(" ".join) | _set(values)
    elif field.kind is Kind.TIME:
        moments = st.sampled_from(["-1h", "-24h", "-400h", "2026-03-02T12:00:00Z", '"2026-03-03T12:00:00+00:00"'])
        rest = st.tuples(ORDERED, moments).map(" ".join) | _set(moments) | st.just("== null") | st.just("!= null")
    elif field.kind is Kind.ADDRESS:
        values = st.sampled_from([*NETWORKS, *(f'"{one}"' for one in NETWORKS), "null"])
        rest = st.tuples(EQUALITY, values).map(" ".join) | _set(values) | PATTERNS.map(lambda p: f"~ {_quoted(p)}")
    else:
        pool = SERVICES + TEXTS if field.place is Place.MODEL else ["core-1", *TEXTS]
        values = st.sampled_from([*map(_quoted, pool), "null"])
        rest = (
            st.tuples(EQUALITY, values).map(" ".join)
            | _set(values)
            | (PATTERNS | st.sampled_from(["*looks like*", "*tele*"])).map(lambda p: f"~ {_quoted(p)}")
        )
    return st.tuples(written, rest).map(" ".join)


MODELS = st.sampled_from(["ktalk:3", "ktalk", "telegram:1"])
DETECTORS = st.sampled_from(["ktalk", "telegram"])


def _about(part, operators, *values):
    some = st.sampled_from([str(value) for value in values])
    return st.tuples(MODELS, operators, some).map(lambda one: f'model("{one[0]}").{part} {one[1]} {one[2]}')


VIRTUAL = st.one_of(
    _about("score", ORDERED, *SCORES),
    _about("score", EQUALITY, "null"),
    _about("verdict", EQUALITY, "positive", "negative"),
    _about("rules", EQUALITY, "hit", "clean", '"not-inspected"'),
    st.tuples(DETECTORS, EQUALITY, st.sampled_from(["positive", "negative", "undecided", "null"])).map(
        lambda one: f'label("{one[0]}") {one[1]} {one[2]}'
    ),
    DETECTORS.map(lambda one: f'label("{one}") in (positive, null)'),
)
TESTS = VIRTUAL | st.sampled_from(FIELDS).flatmap(_tests_of)
FILTERS = st.recursive(
    TESTS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " && ", " or ", " || "]), inner).map("".join),
        inner.map(lambda one: f"({one})"),
        inner.map(lambda one: f"not ({one})"),
        inner.map(lambda one: f"!({one})"),
    ),
    max_leaves=6,
)
CASES = Counter()


@settings(max_examples=400, deadline=None)
@given(FILTERS)
@example('alert.msg == "[ML-TEST] Looks like ktalk.exe" and dst.dns != "a"')
@example('app_service=="Telegram" && !dst.geo.org == "a" and app_proto=="tls" && flags == "APP_SERVICE_ML"')
@example('alert.msg != null or app_service in ("Telegram", null)')
@example(f"look == {'f' * 64} or not look != {_looks()[4]}")
@example("src.ip in (fe80::/10, 10.1.16.0/20) or dst.ip == ::1")
@example('not (label("ktalk") != positive) and rule.sid in (1, null)')
def test_the_compiler_and_the_slow_reader_pass_the_same_rows(world, text):
    check(world, text)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(FILTERS)
def test_ten_thousand_random_filters(world, text):
    check(world, text)


def check(world, text):
    connection, rows, scores, labels = world
    tree = parse(text)
    question = compile_sql(bind(tree, FakeNames(), NOW), RAW)
    for index, version in enumerate(question.versions):
        connection.execute(f'CREATE OR REPLACE TEMP VIEW scores_{index} AS FROM "of {version}"')
    for index, detector in enumerate(question.detectors):
        connection.execute(f'CREATE OR REPLACE TEMP VIEW labels_{index} AS FROM "on {detector}"')
    found = connection.execute(f"SELECT s.rid {question.source}", question.parameters).fetchall()
    expected = [row.rid for row in rows.itertuples() if slow(tree, row, scores, labels)]
    assert sorted(rid for (rid,) in found) == sorted(expected)
    CASES["compared"] += 1


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.lists(st.sampled_from(
    ["(", ")", "and", "or", "not", "==", "in", "~", '"x"', "'", "model", '("ktalk:3")', ".score", "0.5", "dst.dns",
     "null", ",", "10.0.0.0/8", "-1h", "::", "[", "]", "!", "=", ";", "--"]), max_size=12).map(" ".join))  # fmt: skip
def test_whatever_is_typed_is_answered_or_refused_with_a_column(world, text):
    try:
        check(world, text)
    except FilterError as error:
        CASES["refused"] += 1
        assert 1 <= error.column <= len(text) + 2
