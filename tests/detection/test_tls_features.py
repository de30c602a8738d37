"""The TLS features: the graph says what slow and obvious Python says."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.contract import TLS_1, Contract, contract_for, encode, session_columns
from detection.features import FEATURES, feature_model, feature_names, feature_specs
from detection.graph import to_bytes
from detection.scoring import features, open_session
from detection.sessions import COLUMN_NAMES
from detection.single_rows import RowWriter
from detection.tls_recipe import TLS
from tests.detection.make_tls import DAY, START, make_tls_rows

NAMES = feature_names(TLS_1)
SPECS = feature_specs(TLS_1)
ANY_TEXT = st.none() | st.text(st.characters(codec=None, categories=None), max_size=300)
NEEDLES = sorted({needle.decode() for spec in SPECS for needle in spec.needles})
WORDS = st.lists(st.sampled_from(NEEDLES), max_size=30).map("".join)
TIMES = st.none() | st.integers(0, 2**55)
SIZES = st.none() | st.integers(0, 2**63 - 1)
TEXT_COLUMNS = {text.column for text in TLS_1.texts} | {"ja3", "ja3s"}
TIME_COLUMNS = {"start", "flow_start", "flow_end", "cert_not_before", "cert_not_after"}
ROWS = st.fixed_dictionaries(
    dict.fromkeys(COLUMN_NAMES, st.none())
    | dict.fromkeys(TEXT_COLUMNS, ANY_TEXT | WORDS | WORDS.map(str.upper))
    | dict.fromkeys(TIME_COLUMNS, TIMES)
    | dict.fromkeys(TLS_1.columns, SIZES)
)


def row(**values: Any) -> dict[str, Any]:
    return dict.fromkeys(COLUMN_NAMES) | {"start": START} | values


def graph(*rows: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return features(TLS_1, encode(TLS_1, session_columns(rows)))


def values_of(**values: Any) -> dict[str, float]:
    return dict(zip(NAMES, graph(row(**values))[0].tolist(), strict=True))


# --- the slow and obvious way --------------------------------------------------------------------------------------


def slow(one: dict[str, Any]) -> dict[str, Any]:
    """Everything again, text by text and byte by byte."""
    found: dict[str, Any] = {name: number(one[name]) for name in TLS_1.columns}
    found["duration"] = difference(one["flow_start"], one["flow_end"], 1_000_000)
    found["cert_days"] = difference(one["cert_not_before"], one["cert_not_after"], DAY)
    found["cert_age"] = difference(one["cert_not_before"], one["start"], DAY)
    found["cert_left"] = difference(one["start"], one["cert_not_after"], DAY)
    subject, issuer = one["cert_subject"], one["cert_issuer"]
    found["cert_self_issued"] = math.nan if subject is None or issuer is None else subject == issuer
    found["ja3_code"], found["ja3s_code"] = code(one["ja3"]), code(one["ja3s"])
    parts = [*(one["ja4"] or "")[:128].split("_"), "", ""]
    found["ja4_ciphers_code"], found["ja4_extensions_code"] = code(parts[1]), code(parts[2])
    found["ja4_ciphers"], found["ja4_extensions"] = digits(one["ja4"], 4), digits(one["ja4"], 6)
    found["labels"], found["cert_owners"] = pieces(one["host"], "."), pieces(one["cert_names"], ",")
    seen = {text.name: window(one[text.column] or "", text.limit) for text in TLS_1.texts}
    for text in TLS_1.texts:
        whole = one[text.column]
        size = math.nan if whole is None else len(whole.encode("utf-8", "surrogatepass"))
        found[f"{text.name}_length"], found[f"{text.name}_was_cut"] = size, float(size > text.limit)
    for ratio in TLS.ratios:
        with np.errstate(all="ignore"):
            found[ratio.name] = np.float32(found[ratio.above]) / np.float32(found[ratio.below])
    for field in TLS.histograms:
        data = seen[field]
        for one_class in TLS.classes:
            count = sum(byte in one_class.members for byte in data)
            found[f"{field}.share.{one_class.name}"] = np.float32(count) / np.float32(len(data)) if data else math.nan
        squares = sum(n * n for n in Counter(map(atom, data)).values())
        found[f"{field}.sameness"] = np.sqrt(np.float32(squares)) / np.float32(len(data)) if data else math.nan
    for field, groups in TLS.needles.items():
        for group in groups:
            found[f"{field}.needle.{group.name}"] = sum(occurrences(needle, seen[field]) for needle in group.needles)
    return found


def number(value: int | None) -> float:
    return math.nan if value is None else float(value)


def difference(first: int | None, last: int | None, unit: int) -> float:
    return math.nan if first is None or last is None else (last - first) / unit


def code(text: str | None) -> float:
    """CRC-32 bit by bit, without its low byte."""
    if not text:
        return math.nan
    crc = 0xFFFFFFFF
    for byte in text[:128].encode("utf-8", "surrogatepass"):
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return float((crc ^ 0xFFFFFFFF) >> 8)


def digits(text: str | None, at: int) -> float:
    part = (text or "")[at : at + 2]
    return float(part) if part and all(letter in "0123456789" for letter in part) else math.nan


def pieces(text: str | None, separator: str) -> float:
    return math.nan if text is None else float(len(text.split(separator))) if text else 0.0


def window(text: str, limit: int) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > limit:
        data = data[: limit // 2] + b"\x01" + data[len(data) - (limit - limit // 2 - 1) :]
    return bytes(1 if byte == 0 else byte + 32 if 65 <= byte <= 90 else byte for byte in data)


def atom(byte: int) -> int | str:
    return "high" if byte >= 0x80 else "control" if byte < 0x20 or byte == 0x7F else byte


def occurrences(needle: bytes, data: bytes) -> int:
    return sum(data[at : at + len(needle)] == needle for at in range(len(data) - len(needle) + 1))


def assert_equal(rows: list[dict[str, Any]]) -> None:
    for one, values in zip(rows, graph(*rows), strict=True):
        expected = slow(one)
        assert list(expected) and set(expected) == set(NAMES)
        theirs = np.array([expected[name] for name in NAMES], dtype=np.float32)
        wrong = [name for name, a, b in zip(NAMES, values, theirs, strict=True) if not np.array_equal(a, b, True)]
        assert not wrong, [(name, values[NAMES.index(name)], expected[name]) for name in wrong]


@settings(max_examples=40, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_the_graph_says_what_slow_python_says(rows: list[dict[str, Any]]) -> None:
    assert_equal(rows)


def test_the_graph_says_what_slow_python_says_of_odd_sessions() -> None:
    assert_equal(make_tls_rows(300, seed=3))


@settings(max_examples=40, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=6))
def test_one_row_and_a_batch_are_encoded_to_the_same_bits(rows: list[dict[str, Any]]) -> None:
    batch = encode(TLS_1, session_columns(rows))
    writer = RowWriter(TLS_1)
    for at, each in enumerate(rows):
        feed = writer.feed(each)
        assert feed["numbers"].tobytes() == batch.numbers[at].tobytes()
        padded = batch.feed(slice(at, at + 1))["text"][0].tolist()
        tokens = feed["text"][0].tolist()
        assert tokens == padded[: len(tokens)]


@pytest.mark.parametrize("batch", [1, 7, 256])
def test_any_batch_gives_the_same_bits(batch: int) -> None:
    inputs = encode(TLS_1, session_columns(make_tls_rows(256, seed=5)))
    session = open_session(to_bytes(feature_model(TLS_1)))
    whole = features(TLS_1, inputs)
    for start in range(0, 140 if batch == 7 else 60 if batch == 1 else 1, batch):
        rows = slice(start, start + batch)
        assert session.run([FEATURES], inputs.feed(rows))[0].tobytes() == whole[rows].tobytes()


# --- what the contract holds ---------------------------------------------------------------------------------------


def test_the_contract_travels_as_json() -> None:
    assert Contract.from_json(TLS_1.to_json()) == TLS_1
    assert contract_for("tls") is TLS_1
    assert TLS_1.id == "tls-1"


def test_nothing_is_read_that_names_one_server_one_certificate_or_what_rules_said() -> None:
    learnt_by_heart = {"src_ip", "dst_ip", "src_port", "cert_serial", "cert_sha1", "community_id", "flow_id", "uid"}
    assert set(TLS_1.reads) <= set(COLUMN_NAMES)
    assert not set(TLS_1.reads) & (learnt_by_heart | {"hits", "capture"})


def test_names_and_titles_are_unique_and_readable() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert len({spec.title for spec in SPECS}) == len(SPECS)
    assert all(spec.title and "_" not in spec.title for spec in SPECS)


def test_golden_numbers_of_a_session() -> None:
    found = values_of(
        host="API.Talk.example",
        ja4="t13d1516h2_8daaf6152771_02713d6af862",
        cert_subject="C=XX, O=Widgits, CN=*.talk.example",
        cert_issuer="C=US, O=Let's Encrypt, CN=R3",
        cert_not_before=START - 30 * DAY,
        cert_not_after=START + 60 * DAY,
        flow_start=START,
        flow_end=START + 2_500_000,
        bytes_to_server=3_000,
        bytes_to_client=60_000,
        packets_to_server=10,
        packets_to_client=0,
    )
    assert (found["cert_days"], found["cert_age"], found["cert_left"]) == (90, 30, 60)
    assert (found["duration"], found["packet_to_server"], found["received_per_sent"]) == (2.5, 300, 20)
    assert found["packet_to_client"] == math.inf
    assert (found["ja4_ciphers"], found["ja4_extensions"]) == (15, 16)
    assert found["labels"] == 3
    assert found["host.needle.api"] == 1
    assert found["host.needle.chat"] == 1  # "talk", whatever its capitals
    assert found["cert_subject.needle.wildcard"] == 1
    assert found["cert_issuer.needle.free"] == 1
    assert found["cert_self_issued"] == 0
    assert math.isnan(found["session_resumed"])
    pairs = [value for name, value in found.items() if name.startswith("host.needle.pairs_")]
    assert sum(pairs) == len("api.talk.example") - 1


def test_a_flow_that_has_not_ended_has_no_sizes() -> None:
    found = values_of(host="www.example.com", flow_start=START)
    late = ("duration", "bytes_to_server", "packets_to_client", "packet_to_server", "received_per_sent")
    assert all(math.isnan(found[name]) for name in late)


def test_equal_fingerprints_have_equal_codes_and_others_do_not() -> None:
    one, same, other = (values_of(ja3=ja3)["ja3_code"] for ja3 in ("a" * 32, "a" * 32, "b" * 32))
    assert one == same != other


def test_the_graph_in_use_never_changes() -> None:
    """A version carries its own graph, training must make the same one: another graph is another contract version."""
    assert TLS_1.digest == "2c5c50daf57b5f30f1bf1a312c378728e2bb73aa07134afd3a821c8ae33fbfcf"
    assert (
        hashlib.sha256(to_bytes(feature_model(TLS_1))).hexdigest()
        == "dd9faa265cda256edcf5e9cd1bf0e547521569d4476e49d01eecdc875212b7cd"
    )
