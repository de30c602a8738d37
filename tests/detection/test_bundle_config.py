from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.bundle_config import ConfigEntry, ConfigError, parse_config

SLIDE = """models:
- registry_name: "Model_LGBM"
  version: 1
  threshold: 0.7
  is_silent: "true"

- registry_name: "Model_LGBM"
  version: 2
  threshold: 0.5
  is_silent: "false"
"""


def entry(**values):
    lines = {"registry_name": "m", "version": 1, "threshold": 0.5, "is_silent": "true"} | values
    text = "\n  ".join(f"{key}: {value}" for key, value in lines.items() if value is not None)
    return f"models:\n- {text}\n"


def refused(text, line, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config(text)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"line {line}: ")


def test_the_configuration_of_the_slide():
    assert parse_config(SLIDE) == (
        ConfigEntry("Model_LGBM", 1, 0.7, True, "max", 2),
        ConfigEntry("Model_LGBM", 2, 0.5, False, "max", 7),
    )


@pytest.mark.parametrize(("written", "meant"), [("true", True), ("false", False), ('"true"', True), ("'false'", False)])
def test_booleans_may_be_booleans_or_the_two_strings(written, meant):
    assert parse_config(entry(is_silent=written))[0].is_silent is meant


@pytest.mark.parametrize("written", ["yes", "True", "TRUE", "on", "1", '"no"', '"True"', "null", "[]", "~"])
def test_nothing_else_is_a_boolean(written):
    refused(entry(is_silent=written), 5, "is_silent is true, false")


@pytest.mark.parametrize("written", ["0", "1", "0.0", "1.0", "-0.5", "1.5", ".nan", ".inf", '"0.5"', "high", "[0.5]"])
def test_a_threshold_outside_is_refused(written):
    refused(entry(threshold=written), 4, "threshold is a number above 0 and below 1")


@pytest.mark.parametrize("written", ["0", "-1", "1.0", '"1"', "one", "0x10", "[1]", "true", "99999999999"])
def test_a_version_is_a_whole_number_from_1(written):
    refused(entry(version=written), 3, "version is a")


@pytest.mark.parametrize("written", ["1", '""', '"a/b"', '"a b"', "[a]", "null", '"-x"'])
def test_a_registry_name_is_a_name(written):
    refused(entry(registry_name=written), 2, "registry_name is a name")


@pytest.mark.parametrize("key", ["registry_name", "version", "threshold", "is_silent"])
def test_a_missing_key_is_named(key):
    refused(entry(**{key: None}), 2, f"{key} is missing")


def test_unknown_keys_are_refused():
    refused(entry(treshold=0.4), 6, "unknown key 'treshold'")
    refused("model: []\n", 1, "unknown key 'model'")
    refused(entry() + "extra: 1\n", 6, "unknown key 'extra'")


def test_doubled_keys_are_refused():
    refused(entry() + "  version: 2\n", 6, "'version' stands here twice")


def test_a_doubled_entry_names_both_lines():
    refused(SLIDE.replace("version: 2", "version: 1"), 7, "Model_LGBM version 1 stands in line 2 too")


def test_two_loud_versions_of_a_detector_are_refused():
    refused(SLIDE.replace('"true"', '"false"'), 7, r"second version that is not silent \(line 2\)")


def test_two_silent_versions_and_two_detectors_are_fine():
    assert len(parse_config(SLIDE.replace('"false"', '"true"'))) == 2
    assert (
        len(parse_config(SLIDE.replace('"Model_LGBM"\n  version: 2', '"Other"\n  version: 2').replace("true", "false")))
        == 2
    )


def test_an_aggregation_is_one_that_is_known():
    assert parse_config(entry(aggregation="max"))[0].aggregation == "max"
    refused(entry(aggregation="mean"), 6, "aggregation is one of max")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "expected `models:`"),
        ("- a\n", 1, "expected `models:`"),
        ("models:\n", 1, "at least one entry"),
        ("models: []\n", 1, "at least one entry"),
        ("models:\n- 7\n", 2, "expected an entry"),
        ("models:\n  - a: [\n", 3, "no YAML"),
        ("models:\n\t- a\n", 2, "no YAML"),
        ("models:\n- \x00\n", 2, "no YAML"),
        ("a: 1\n---\nb: 2\n", 2, "no YAML"),
        ("models: *x\n", 1, "no YAML"),
        ("[" * 5000, 1, "no YAML"),
    ],
)
def test_what_is_no_configuration_is_refused_with_its_line(text, line, message):
    refused(text, line, message)


@given(st.text(max_size=80) | st.text("models:- \n\"'[]{}&*!x0.", max_size=60))
def test_any_text_is_parsed_or_refused_with_a_line(text):
    try:
        parse_config(text)
    except ConfigError as error:
        assert 1 <= error.line <= max(len(text.splitlines()), 1) + 1


def test_the_example_of_the_documents_is_the_slide() -> None:
    example = Path(__file__).resolve().parents[2] / "docs" / "formats" / "build_config.yml"
    found = [
        (entry.registry_name, entry.version, entry.threshold, entry.is_silent)
        for entry in parse_config(example.read_text())
    ]
    assert found == [("http-attacks", 1, 0.7, True), ("http-attacks", 2, 0.5, False)]
