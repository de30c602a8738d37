from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from detection.filters import FIELDS, FilterError, Narrowed, bind, compile_sql, narrow, parse
from detection.filters.predicates import And, FieldTest, LabelTest, Not, Op, Or, ScoreTest, VerdictTest
from detection.filters.tree import EVERYTHING
from detection.sessions import COLUMN_NAMES, HIT_FIELDS
from tests.detection.filter_names import FakeNames

NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
DAY = 86_400_000_000


def bound(text, **names):
    return bind(parse(text), FakeNames(**names), NOW)


def test_both_queries_of_the_consoles_mean_what_their_authors_meant():
    found = bound('alert.msg == "[ML-TEST] Looks like ktalk.exe" and dst.dns != "meet.example"')
    assert isinstance(found, And)
    verdict, other = found.children
    assert verdict == VerdictTest("ktalk:3", True)
    assert isinstance(other, Not)
    assert isinstance(other.child, FieldTest)
    assert (other.child.field.column, other.child.op, other.child.value) == ("host", Op.EQUAL, "meet.example")
    found = bound(
        'app_service=="Telegram" && !dst.geo.org == "Telegram Messenger Inc"'
        ' and app_proto=="tls" && flags == "APP_SERVICE_ML"'
    )
    service, owner, protocol, flag = found.children
    assert service == VerdictTest("telegram:1", True)
    assert isinstance(owner, Not)
    assert protocol.value == "tls"
    assert flag == Or((VerdictTest("ktalk:3", True), VerdictTest("telegram:1", True)))


def test_or_binds_weaker_than_and_and_not_strongest():
    found = bound("dst.port == 1 or not dst.port == 2 and dst.port == 3")
    assert isinstance(found, Or)
    assert isinstance(found.children[1], And)
    assert isinstance(found.children[1].children[0], Not)


def test_words_and_signs_are_the_same():
    assert bound("dst.port == 1 && !dst.port == 2 || dst.port = 3") == bound(
        "dst.port == 1 AND Not dst.port == 2 or dst.port == 3"
    )


@pytest.mark.parametrize("text", ["", "   ", "\n"])
def test_an_empty_filter_passes_everything(text):
    assert parse(text) == EVERYTHING
    assert compile_sql(bind(EVERYTHING, FakeNames(), NOW), {}).source.endswith("WHERE true")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r'"a\"b"', 'a"b'),
        (r"'it\'s'", "it's"),
        (r'"\d+"', r"\d+"),
        (r'"C:\\dir"', r"C:\dir"),
        (r'"\x41\u0042\n"', "AB\n"),
        ('"a b"', "a b"),
        ("bare.word-1", "bare.word-1"),
        ('"and"', "and"),
    ],
)
def test_texts_are_written_in_quotes_with_escapes(written, meant):
    assert bound(f"dst.dns == {written}").value == meant


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-03-03", datetime(2026, 3, 3, tzinfo=UTC)),
        ("2026-03-03T10:20:30Z", datetime(2026, 3, 3, 10, 20, 30, tzinfo=UTC)),
        ('"2026-03-03 10:20"', datetime(2026, 3, 3, 10, 20, tzinfo=UTC)),
        ("2026-03-03T10:00:00+03:00", datetime(2026, 3, 3, 7, tzinfo=UTC)),
        ("now", NOW),
        ("-24h", datetime(2026, 3, 2, 12, tzinfo=UTC)),
        ("-2w", datetime(2026, 2, 17, 12, tzinfo=UTC)),
    ],
)
def test_times_are_absolute_or_before_now(written, moment):
    assert bound(f"start >= {written}").value == int(moment.timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("text", "column", "says", "suggestion"),
    [
        ("dst.dnss == 1", 1, "no field “dst.dnss”", "dst.dns"),
        ("dst.port == 1 and htp.url == 2", 19, "no field “htp.url”", "http.url"),
        ("dst.dns ==", 11, "ends too early; expected a value", ""),
        ('dst.dns = "x', 11, "never closed", ""),
        ("(dst.dns == x", 14, "ends too early; expected )", ""),
        ("dst.dns == x y", 14, "expected the end or “and” or “or”", ""),
        ("dst.dns == a/b", 13, "in quotes", ""),
        ("== 2", 1, "expected ( or a field", ""),
        ("http.status > abc", 15, "whole number", ""),
        ("http.status == 2.5", 16, "whole number", ""),
        ("http.status == 99999999999999999999", 16, "whole number", ""),
        ("http.status ~ 4*", 16, "in quotes", ""),
        ('http.status ~ "4*"', 15, "compares texts", ""),
        ("dst.dns < b", 1, "has no order", ""),
        ("dst.dns < null", 11, "missing value", ""),
        ("start > 2026-13-01", 9, "no time", ""),
        ("start > -99999999999w", 9, "no time", ""),
        ("src.ip in 10.0.0.0/99", 11, "no address", ""),
        ("src.ip == host.example", 11, "no address", ""),
        ('model("ktalk:33").score > 0.5', 7, "no version “ktalk:33”", "ktalk:3"),
        ('model("ktalk:3").score > 5', 26, "from 0 to 1", ""),
        ('model("ktalk:3").scoer > 0.5', 1, ".score, .verdict, .rules", "score"),
        ('model("ktalk:3") == 1', 1, ".score, .verdict, .rules", ""),
        ('model("ktalk:3").verdict == postive', 29, "none of positive, negative", "positive"),
        ('model("ktalk:3").verdict > positive', 1, "compare with", ""),
        ("model.score > 1", 1, "no field “model.score”", ""),
        ("model == 1", 1, 'write model("…")', ""),
        ('label("ktalc") == positive', 7, "no detector “ktalc”", "ktalk"),
        ('labels("ktalk") == positive', 1, "takes no brackets", "label"),
        ("label(ktalk) == positive", 7, "cannot stand here", ""),
        ("app_service > 1", 1, "has no order", ""),
    ],
)
def test_an_error_points_at_the_column_and_suggests(text, column, says, suggestion):
    with pytest.raises(FilterError) as refused:
        bound(text)
    assert says in str(refused.value)
    assert (refused.value.column, refused.value.suggestion) == (column, suggestion)


def test_owners_without_a_source_are_an_error_and_not_nothing():
    assert bound("dst.geo.org == null")
    with pytest.raises(FilterError, match="nobody has told who owns addresses"):
        bound('dst.dns == x or dst.geo.org == "Example Ltd"', owners=False)


@pytest.mark.parametrize(
    "text", ["(" * 51 + "dst.dns == x" + ")" * 51, "not " * 51 + "dst.dns == x", "!" * 2_000 + "dst.dns == x"]
)
def test_depth_is_bounded(text):
    with pytest.raises(FilterError, match="more than 50 brackets"):
        parse(text)


def test_length_and_number_of_comparisons_are_bounded():
    with pytest.raises(FilterError, match="longer than"):
        parse('dst.dns == "' + "x" * 8_000 + '"')
    with pytest.raises(FilterError, match="more than 500 comparisons"):
        parse(" or ".join(["tx_id = 1"] * 501))
    assert bound(" or ".join(["tx_id = 1"] * 500))


def test_brackets_and_signs_in_quotes_count_as_text():
    assert bound('http.url == "' + "((!!==" * 100 + '"')


def test_a_message_of_a_model_asks_its_scores_and_any_other_the_rules():
    assert bound('alert.msg == "[ML] Looks like Telegram"') == VerdictTest("telegram:1", True)
    rule = bound('alert.msg == "ET SCAN Nmap"')
    assert isinstance(rule, FieldTest)
    assert rule.field.name == "rule.msg"
    assert isinstance(bound('alert.msg ~ "*looks like*"'), Or)


def test_no_text_of_the_user_reaches_sql():
    nasty = "'; DROP TABLE sessions; --"
    question = compile_sql(
        bound(f'dst.dns == "{nasty}" or http.url ~ "*{nasty}*" or rule.msg == "{nasty}" or alert.msg == "{nasty}"'), {}
    )
    assert "DROP" not in question.source
    assert sum("DROP" in str(one) for one in question.parameters.values()) == 4


def test_a_score_that_everything_needs_is_asked_inside_the_join():
    question = compile_sql(bound('dst.dns != x and model("ktalk").score >= 0.7'), {"ktalk:3": 0.8})
    assert question.required == {"ktalk:3"}
    assert "\nJOIN (SELECT rid, raw, rules FROM scores_0 x WHERE x.raw >= $p" in question.source
    question = compile_sql(bound('dst.dns != x or model("ktalk").score >= 0.7'), {"ktalk:3": 0.8})
    assert question.required == set()
    assert "LEFT JOIN scores_0" in question.source


def test_bounds_of_time_sensor_and_protocol_come_from_what_all_must_pass():
    text = "start >= 1970-01-02 and start < 1970-01-05 and start > 1970-01-01 and (sensor in (a, b) and sensor == b)"
    assert narrow(bound(text + " and tls.sni == x")) == Narrowed(DAY, 4 * DAY, frozenset({"b"}), "tls")
    assert narrow(bound("start >= 1970-01-02 or sensor == a")) == Narrowed()
    assert narrow(bound("not (start >= 1970-01-02)")) == Narrowed()
    assert narrow(bound("sensor == a and sensor == b")).sensors == frozenset()


def test_every_field_lies_where_the_schema_says_and_no_word_means_two():
    words = [word for field in FIELDS for word in (field.name, *field.also)]
    assert len(words) == len(set(words))
    known = {"session": COLUMN_NAMES, "rule hits of the session": HIT_FIELDS, "segment": ("sensor",)}
    for field in FIELDS:
        assert field.column in known.get(field.place.value, ("message", "service", "flag", "look")), field.name
    asked = {field.column for field in FIELDS if field.place.value == "session"}
    assert asked == set(COLUMN_NAMES) - {"hits"}


def test_the_examples_of_the_documentation_are_understood():
    page = (Path(__file__).resolve().parents[2] / "docs" / "hunting.md").read_text(encoding="utf-8")
    examples = page.split("```text\n")[1].split("```")[0].strip().splitlines()
    assert len(examples) == 4
    for example in examples:
        assert bound(example.replace("http-attacks", "ktalk"))


def test_labels_and_missing_scores_are_null():
    assert bound('label("ktalk") == null') == LabelTest("ktalk", None)
    assert bound('model("ktalk").score == null') == ScoreTest("ktalk:3", Op.MISSING, None)
    assert bound('label("ktalk") != "undecided"') == Not(LabelTest("ktalk", "undecided"))
