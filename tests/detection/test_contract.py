from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.contract import (
    CUT_MARK,
    HTTP_1,
    TOKENS,
    Contract,
    contract_for,
    encode,
    session_columns,
    window,
)
from detection.sessions import COLUMN_NAMES
from detection.single_rows import RowWriter
from tests.detection.make_models import make_rows

TEXTS = st.none() | st.text(st.characters(codec=None, categories=None), max_size=700)
NUMBERS = st.none() | st.integers() | st.floats(allow_nan=False)
ROWS = st.fixed_dictionaries(
    dict.fromkeys(COLUMN_NAMES, st.none())
    | {text.column: TEXTS for text in HTTP_1.texts}
    | dict.fromkeys(HTTP_1.columns, NUMBERS)
)


def row(**values):
    return dict.fromkeys(COLUMN_NAMES) | values


def texts_in(feed, at=0):
    """The bytes of each text that a row of tokens holds."""
    tokens = feed["text"][at]
    return [bytes((tokens[(tokens > 0) & (tokens // TOKENS == number)] % TOKENS).tolist()) for number in range(7)]


def number(inputs, name, at=0):
    return float(inputs.numbers[at, HTTP_1.numbers.index(name)])


def test_the_contract_travels_as_json():
    assert Contract.from_json(HTTP_1.to_json()) == HTTP_1
    assert HTTP_1.id == "http-1"
    assert HTTP_1.columns == ("status", "response_bytes", "dst_port")


def test_the_contract_in_use_never_changes():
    """Versions in the field were trained on it: a change is a new contract version, not a new digest here."""
    assert HTTP_1.digest == "7adc5b1f01be7934a43d0d5de8e1f5b5ed932ae9fa55fb0d1d87fa0c9c9dc4a9"


def test_nothing_is_read_that_comes_after_the_verdict_or_only_with_rule_hits():
    read = {text.column for text in HTTP_1.texts} | set(HTTP_1.columns)
    late = {"bytes_to_server", "bytes_to_client", "packets_to_server", "packets_to_client", "hits", "flow_end"}
    assert read <= set(COLUMN_NAMES)
    assert not read & late


def test_the_newest_contract_of_a_protocol_is_found():
    assert contract_for("http") is HTTP_1
    with pytest.raises(LookupError, match="smtp"):
        contract_for("smtp")


def test_tokens_tell_their_text_and_only_the_request_target_keeps_its_capitals():
    feed = RowWriter(HTTP_1).feed(row(uri="/A", host="B.Example", user_agent="Curl", method="GET"))
    assert feed["text"].tolist()[0][:3] == [ord("/"), ord("A"), TOKENS + ord("b")]
    assert texts_in(feed) == [b"/A", b"b.example", b"curl", b"", b"", b"", b"get"]


def test_a_missing_text_has_no_length_and_an_empty_one_has_none_of_it():
    inputs = encode(HTTP_1, session_columns([row(uri=None), row(uri="")]))
    assert np.isnan(number(inputs, "uri_length", 0))
    assert number(inputs, "uri_length", 1) == 0
    assert number(inputs, "uri_was_cut", 0) == 0


def test_a_long_text_keeps_head_and_tail_and_its_true_length():
    uri = "h" * 5000 + "../../etc/passwd"
    inputs = encode(HTTP_1, session_columns([row(uri=uri)]))
    seen = texts_in(inputs.feed())[0]
    assert seen == b"h" * 256 + CUT_MARK + uri.encode()[-255:]
    assert number(inputs, "uri_length") == 5016
    assert number(inputs, "uri_was_cut") == 1


@given(st.binary(max_size=600), st.integers(2, 512))
def test_a_window_is_never_longer_than_its_limit(data, limit):
    seen = window(data, limit)
    assert len(seen) == min(len(data), limit)
    assert seen == data or (data.startswith(seen[: limit // 2]) and data.endswith(seen[limit // 2 + 1 :]))


def test_no_text_stops_the_encoding_and_none_becomes_padding():
    inputs = encode(HTTP_1, session_columns([row(uri="\0a\udcff\xff\U0010ffff")]))
    assert texts_in(inputs.feed())[0] == b"\x01a" + b"\xed\xb3\xbf" + "\xff\U0010ffff".encode()


def assert_same_tokens(feed, batch, at):
    padded = batch.feed(slice(max(at - 1, 0), at + 1))["text"][-1].tolist()
    tokens = feed["text"][0].tolist()
    assert tokens == padded[: len(tokens)]
    assert not any(padded[len(tokens) :])


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=8))
def test_one_row_and_a_batch_are_encoded_to_the_same_bits(rows):
    batch = encode(HTTP_1, session_columns(rows))
    writer = RowWriter(HTTP_1)  # of each row, what the one before left behind would show
    for at, each in enumerate(rows):
        feed = writer.feed(each)
        assert feed["numbers"].tobytes() == batch.numbers[at].tobytes()
        assert_same_tokens(feed, batch, at)


def test_two_thousand_odd_sessions_are_encoded_to_the_same_bytes():
    rows = make_rows(2000, seed=9)
    batch = encode(HTTP_1, session_columns(rows))
    writer = RowWriter(HTTP_1)
    for at, each in enumerate(rows):
        assert_same_tokens(writer.feed(each), batch, at)


def test_numbers_beyond_every_float_are_infinite():
    inputs = encode(HTTP_1, session_columns([row(response_bytes=10**400), row(response_bytes=-(10**400))]))
    assert number(inputs, "response_bytes", 0) == np.inf
    assert number(inputs, "response_bytes", 1) == -np.inf


def test_no_sessions_are_no_rows():
    inputs = encode(HTTP_1, {name: [] for name in COLUMN_NAMES})
    assert len(inputs) == 0
