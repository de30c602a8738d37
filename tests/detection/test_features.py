from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.contract import HTTP_1, encode, seen_bytes, session_columns
from detection.features import FEATURES, Measure, feature_model, feature_names, feature_specs, spans
from detection.graph import to_bytes
from detection.scoring import features, open_session
from detection.sessions import COLUMN_NAMES
from tests.detection.make_models import PARTS, make_inputs

SPECS = feature_specs(HTTP_1)
NAMES = feature_names(HTTP_1)
TEXTS = {text.name: text for text in HTTP_1.texts}
WORDS = st.lists(
    st.sampled_from(sorted({needle.decode() for spec in SPECS for needle in spec.needles}) + list(PARTS)), max_size=30
).map("".join)
ANY_TEXT = st.text(max_size=60) | WORDS | WORDS.map(str.upper) | WORDS.map(str.title)


def values_of(**texts):
    row = dict.fromkeys(COLUMN_NAMES) | texts
    return dict(zip(NAMES, features(HTTP_1, encode(HTTP_1, session_columns([row])))[0].tolist(), strict=True))


def test_names_and_titles_are_unique_and_readable():
    assert len(set(NAMES)) == len(NAMES)
    assert len({spec.title for spec in SPECS}) == len(SPECS)
    assert all(spec.title and "_" not in spec.title for spec in SPECS)


def test_the_graph_in_use_never_changes():
    """A version carries its own graph, training must make the same one: another graph is another contract version."""
    assert (
        hashlib.sha256(to_bytes(feature_model(HTTP_1))).hexdigest()
        == "1d13ea4ca37284fd64f85cde7e075fd8889489e644f1b43c6bacf37f2ab1c6bf"
    )


def test_golden_numbers_of_an_attack():
    found = values_of(
        uri="/Shop/item.php?id=7%27%20or%201=1--&b=%252e",
        uri_decoded="/Shop/item.php?id=7' OR 1=1--&b=.",
        host="www.example.com",
        user_agent="Mozilla/5.0 (X11)",
        method="POST",
        status=500,
    )
    assert found["uri_length"] == 43
    assert found["uri.share.digits"] == np.float32(12) / np.float32(43)
    assert found["uri.share.upper"] == np.float32(1) / np.float32(43)
    assert found["uri.share.percents"] == np.float32(4) / np.float32(43)
    assert found["uri.share.delimiters"] == np.float32(5) / np.float32(43)
    assert found["uri.needle.double_encoding"] == 1
    assert found["uri_decoded.needle.sql_logic"] == 3  # "' or", " or 1", "1=1"
    assert found["uri_decoded.needle.sql_comment"] == 1
    assert found["uri_decoded.needle.ext_script"] == 1
    assert found["uri_decoded.count.quotes"] == 1
    assert found["host.share.dots"] == np.float32(2) / np.float32(15)
    assert found["method.needle.post"] == 1
    assert found["method.needle.get"] == 0
    assert found["status"] == 500
    assert np.isnan(found["response_bytes"])


def test_sameness_is_the_root_of_the_chance_that_two_characters_are_equal():
    assert values_of(host="aabc")["host.sameness"] == np.sqrt(np.float32(6)) / np.float32(4)
    assert values_of(host="abcd")["host.sameness"] == 0.5
    assert np.isnan(values_of(host=None)["host.sameness"])


def test_capitals_count_as_capitals_in_the_request_target_and_match_needles_everywhere():
    found = values_of(uri="/%2E%2e%5C", uri_decoded="/<ScRiPt>", user_agent="${JNDI:ldap", method="pOsT")
    assert found["uri.needle.encoded_traversal"] == 3
    assert found["uri_decoded.needle.script"] == 1
    assert found["user_agent.needle.lookup"] == 2
    assert found["method.needle.post"] == 1


def test_overlapping_strings_count_each():
    assert values_of(uri_decoded="/a/./././")["uri_decoded.needle.traversal"] == 2
    assert values_of(uri_decoded="----")["uri_decoded.needle.sql_comment"] == 3


def test_strings_never_reach_over_two_texts():
    found = values_of(uri_decoded="/..", referer="/x", uri="/a'", host=" or 1=1")
    assert found["uri_decoded.needle.traversal"] == 0
    assert found["uri_decoded.needle.sql_logic"] == 0


def test_a_bait_in_the_middle_of_a_long_text_is_told_by_length_and_cut():
    found = values_of(uri="/" + "a" * 4000, host="h" * 500)
    assert (found["uri_length"], found["uri_was_cut"], found["host_was_cut"]) == (4001, 1, 1)


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(TEXTS, ANY_TEXT)))
def test_a_feature_has_as_many_spans_as_it_counts(texts):
    found = values_of(**texts)
    for spec in SPECS:
        if spec.measure in (Measure.COUNT, Measure.NEEDLE):
            text = seen_bytes(TEXTS[spec.field], texts[spec.field])
            assert len(spans(spec, text)) == found[spec.name], spec.name
        if spec.measure is Measure.SHARE and texts[spec.field]:
            text = seen_bytes(TEXTS[spec.field], texts[spec.field])
            assert np.float32(len(spans(spec, text))) / np.float32(len(text)) == np.float32(found[spec.name])


@pytest.mark.parametrize("batch", [1, 7, 1024])
def test_any_batch_gives_the_same_bits(batch):
    inputs = make_inputs(1024, seed=5)
    session = open_session(to_bytes(feature_model(HTTP_1)))
    whole = features(HTTP_1, inputs)
    for start in range(0, 140 if batch == 7 else 60 if batch == 1 else 1, batch):
        rows = slice(start, start + batch)
        assert session.run([FEATURES], inputs.feed(rows))[0].tobytes() == whole[rows].tobytes()


def test_bytes_outside_ascii_are_counted_one_by_one():
    assert values_of(uri="a\xff")["uri.share.non_printable"] == np.float32(2) / np.float32(3)
    assert values_of(uri_decoded="a\xff")["uri_decoded.count.high"] == 2
