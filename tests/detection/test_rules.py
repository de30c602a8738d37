"""Rule verdicts and weak labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from detection.rules import RuleMapping, RuleVerdict, WeakLabel, covers, rule_verdict, weak_label

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "formats" / "detector.http-attacks.yml"

EXPLOIT = "ET EXPLOIT D-Link Devices Home Network Administration Protocol Command Execution"
CURL = "ET POLICY curl User-Agent Outbound"
ODDITY = "SURICATA HTTP Request unrecognized authorization method"


def make_hit(signature: str = EXPLOIT, **changes: Any) -> dict[str, Any]:
    return {
        "sid": 2020899,
        "gid": 1,
        "rev": 1,
        "signature": signature,
        "category": "Attempted Administrator Privilege Gain",
        "severity": 1,
        "action": "allowed",
        "scope": "transaction",
    } | changes


def make_row(*hits: dict[str, Any], flow_sessions: int | None = 1) -> dict[str, Any]:
    return {"hits": list(hits), "flow_sessions": flow_sessions}


EXPLOITS = RuleMapping(name_patterns=("ET EXPLOIT *",))


@pytest.mark.parametrize(
    "mapping",
    [
        RuleMapping(sids=frozenset({2020899})),
        RuleMapping(categories=frozenset({"attempted administrator privilege GAIN"})),
        RuleMapping(classtypes=frozenset({"attempted-admin"})),
        RuleMapping(name_patterns=("et exploit *",)),
        RuleMapping(name_patterns=("*D-link*Command*",)),
        RuleMapping(name_patterns=("ET EXPLOIT *",), max_severity=1),
    ],
)
def test_any_one_criterion_makes_a_hit_count(mapping: RuleMapping) -> None:
    assert mapping.matches(make_hit())


@pytest.mark.parametrize(
    "mapping",
    [
        RuleMapping(),
        RuleMapping(sids=frozenset({1})),
        RuleMapping(name_patterns=("EXPLOIT *",)),  # patterns hold for the whole name
        RuleMapping(name_patterns=("ET EXPLOIT *",), exclude_sids=frozenset({2020899})),
        RuleMapping(sids=frozenset({2020899}), exclude_name_patterns=("*d-link*",)),
    ],
)
def test_without_a_criterion_or_with_an_exclusion_a_hit_does_not_count(mapping: RuleMapping) -> None:
    assert not mapping.matches(make_hit())


def test_a_severity_worse_than_the_limit_counts_and_a_missing_one_does_not() -> None:
    mapping = RuleMapping(name_patterns=("*",), max_severity=2)
    assert mapping.matches(make_hit(severity=2))
    assert not mapping.matches(make_hit(severity=3))
    assert not mapping.matches(make_hit(severity=None))


def test_suricata_s_own_signatures_never_count_unless_asked_for() -> None:
    assert not RuleMapping(name_patterns=("*",)).matches(make_hit(ODDITY))
    assert not RuleMapping(sids=frozenset({2020899})).matches(make_hit("suricata lower case too"))
    assert RuleMapping(name_patterns=("*",), exclude_name_patterns=()).matches(make_hit(ODDITY))


def test_a_hit_without_name_or_category_is_no_error() -> None:
    assert not EXPLOITS.matches(make_hit(signature=None, category=None, severity=None))


def test_the_verdict_has_three_values() -> None:
    assert rule_verdict([], EXPLOITS, inspected=False) is RuleVerdict.NOT_INSPECTED
    assert rule_verdict(None, EXPLOITS, inspected=True) is RuleVerdict.CLEAN
    assert rule_verdict([make_hit(CURL)], EXPLOITS, inspected=True) is RuleVerdict.CLEAN
    assert rule_verdict([make_hit(CURL), make_hit()], EXPLOITS, inspected=True) is RuleVerdict.HIT
    assert [int(verdict) for verdict in RuleVerdict] == [0, 1, 2]


def test_a_flow_level_hit_counts_for_the_verdict() -> None:
    assert rule_verdict([make_hit(scope="flow")], EXPLOITS, inspected=True) is RuleVerdict.HIT


def test_a_hit_of_the_class_is_a_fact_also_where_no_rule_set_is_known() -> None:
    assert rule_verdict([make_hit()], EXPLOITS, inspected=False) is RuleVerdict.HIT


@pytest.mark.parametrize(
    ("row", "label"),
    [
        (make_row(make_hit()), WeakLabel.POSITIVE),
        (make_row(make_hit(), flow_sessions=9), WeakLabel.POSITIVE),
        (make_row(make_hit(scope="flow")), WeakLabel.POSITIVE),
        (make_row(make_hit(scope="flow"), flow_sessions=2), WeakLabel.NONE),
        (make_row(make_hit(scope="flow"), flow_sessions=None), WeakLabel.NONE),
        (make_row(make_hit(scope="flow"), make_hit(), flow_sessions=2), WeakLabel.POSITIVE),
        (make_row(), WeakLabel.NEGATIVE),
        (make_row(make_hit(ODDITY)), WeakLabel.NEGATIVE),
        (make_row(make_hit(CURL)), WeakLabel.NONE),
        (make_row(make_hit(ODDITY), make_hit(CURL)), WeakLabel.NONE),
    ],
)
def test_what_rules_teach_about_an_inspected_session(row: dict[str, Any], label: WeakLabel) -> None:
    assert weak_label(row, EXPLOITS, inspected=True) is label


def test_a_session_that_no_rules_looked_at_is_never_a_weak_negative() -> None:
    assert weak_label(make_row(), EXPLOITS, inspected=False) is WeakLabel.NONE
    assert weak_label({"hits": None, "flow_sessions": 1}, EXPLOITS, inspected=False) is WeakLabel.NONE


def test_a_rule_set_covers_the_class_when_one_rule_speaks_about_it() -> None:
    curl = {"sid": "2013028", "msg": CURL, "classtype": "attempted-recon", "priority": "2"}
    exploit = {"sid": 2020899, "msg": EXPLOIT, "classtype": "attempted-admin", "priority": None}
    assert not covers(EXPLOITS, [curl])
    assert covers(EXPLOITS, [curl, exploit])
    assert covers(RuleMapping(categories=frozenset({"Attempted Information Leak"})), [curl])
    assert covers(RuleMapping(classtypes=frozenset({"attempted-admin"}), max_severity=1), [exploit])
    assert not covers(EXPLOITS, [])


def test_a_rule_seen_in_traffic_carries_a_category_instead_of_a_classtype() -> None:
    seen = {"sid": 2020899, "msg": "x", "category": "Attempted Administrator Privilege Gain", "priority": 1}
    assert covers(RuleMapping(classtypes=frozenset({"attempted-admin"})), [seen])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sid": [1]}, "unknown keys"),
        ({"sids": ["2020899"]}, "rules.sids: expected a list of signature ids"),
        ({"sids": [True]}, "rules.sids"),
        ({"name_patterns": "ET EXPLOIT *"}, "rules.name_patterns: expected a list of texts"),
        ({"categories": [""]}, "rules.categories"),
        ({"max_severity": 0}, "rules.max_severity"),
        ({"max_severity": "1"}, "rules.max_severity"),
        ({"classtypes": ["web-aplication-attack"]}, "classtypes: unknown"),
    ],
)
def test_a_wrong_mapping_is_refused_with_the_key_and_what_was_expected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RuleMapping.from_dict(values)


def test_a_left_out_or_empty_exclusion_list_are_two_things() -> None:
    assert RuleMapping.from_dict({}).exclude_name_patterns == ("SURICATA *",)
    assert RuleMapping.from_dict({"exclude_name_patterns": []}).exclude_name_patterns == ()


mappings = st.builds(
    RuleMapping,
    sids=st.frozensets(st.integers(1, 9)),
    categories=st.frozensets(st.text(min_size=1)),
    classtypes=st.frozensets(st.sampled_from(["attempted-admin", "misc-attack"])),
    max_severity=st.none() | st.integers(1, 255),
    name_patterns=st.lists(st.text(min_size=1), max_size=3).map(tuple),
    exclude_name_patterns=st.lists(st.text(min_size=1), max_size=3).map(tuple),
)


@given(mappings, st.integers(1, 9), st.text(), st.text(), st.none() | st.integers(1, 4))
def test_a_mapping_survives_its_own_form(
    mapping: RuleMapping, sid: int, name: str, category: str, severity: int | None
) -> None:
    again = RuleMapping.from_dict(mapping.to_dict())
    hit = make_hit(name, sid=sid, category=category, severity=severity)
    assert again.digest == mapping.digest
    assert again.matches(hit) == mapping.matches(hit)


def test_the_digest_does_not_depend_on_the_order_of_writing() -> None:
    one = RuleMapping(name_patterns=("a*", "b*"), sids=frozenset({1, 2}))
    two = RuleMapping(name_patterns=("b*", "a*"), sids=frozenset({2, 1}))
    assert one.digest == two.digest
    assert one.digest != RuleMapping(name_patterns=("a*",), sids=frozenset({1, 2})).digest


@pytest.fixture(scope="module")
def attacks() -> RuleMapping:
    return RuleMapping.from_dict(yaml.safe_load(EXAMPLE.read_text())["rules"])


def test_the_example_detector_reads_and_has_the_fields_a_detector_needs(attacks: RuleMapping) -> None:
    spec = yaml.safe_load(EXAMPLE.read_text())
    assert set(spec) == {
        "name",
        "protocol",
        "positive_class",
        "positive_key",
        "negative_class",
        "negative_key",
        "false_positive_cost",
        "rules",
    }
    assert set(spec["rules"]) == set(attacks.to_dict())


@pytest.mark.parametrize(
    ("signature", "counts"),
    [
        (EXPLOIT, True),
        ("ET WEB_SERVER Possible SQL Injection Attempt UNION SELECT", True),
        ("ET SCAN Zmap User-Agent (Inbound)", True),
        ("ET HUNTING Possible Apache log4j RCE Attempt - Any Protocol TCP (CVE-2021-44228)", True),
        ("ET USER_AGENTS WinRM User Agent Detected - Possible Lateral Movement", True),
        ("GPL ATTACK_RESPONSE id check returned root", True),
        (CURL, False),
        ("ET HUNTING Observed Interesting Content-Type Inbound (application/x-sh)", False),
        ("ET TOR Known Tor Exit Node Traffic group 42", False),
        ("ET CINS Active Threat Intelligence Poor Reputation IP group 80", False),
        ("ET INFO JAVA - Java Class Download", False),
        (ODDITY, False),
    ],
)
def test_the_example_detector_tells_attacks_from_policy(attacks: RuleMapping, signature: str, counts: bool) -> None:
    # the category of every one of them says "attempted admin": the name decides
    assert attacks.matches(make_hit(signature, sid=1)) is counts
