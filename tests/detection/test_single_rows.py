"""One session a call says what a batch says, in the same arrays again and again."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from detection.bundle import build_bundle
from detection.bundle_config import parse_config
from detection.contract import HTTP_1, TLS_1, Contract, encode, session_columns
from detection.onnx_reader import part_for
from detection.scoring import Scorer, open_session, probability
from detection.single_rows import SEEN_TEXTS, BoundRows, RowWriter, open_answers
from tests.detection.make_models import make_member, make_rows, make_version
from tests.detection.make_tls import make_tls_rows

CONFIG = "models:\n- {registry_name: m, version: 1, threshold: 0.5, is_silent: false}\n"


def test_bound_rows_answer_with_the_bits_of_a_batch() -> None:
    rows = make_rows(400, seed=33)
    raw = Scorer(make_version(1)).raw(encode(HTTP_1, session_columns(rows)))
    data = build_bundle([make_member(entry, 1) for entry in parse_config(CONFIG)], config_text=CONFIG)
    verdict, scores = np.zeros((1, 1), np.bool_), np.zeros((1, 1), np.float64)
    session = open_session(data, single_rows=True)
    bound = BoundRows(session, RowWriter(HTTP_1), {"verdict": verdict, "scores": scores})
    plain = RowWriter(HTTP_1)
    for row, expected in zip(rows, raw, strict=True):
        bound.run(row)
        assert verdict[0, 0] == (expected >= 0.0)
        assert scores.tobytes() == session.run(["scores"], plain.feed(row))[0].tobytes()
        assert abs(scores[0, 0] - float(probability(expected))) < 1e-15


SILENT = """models:
- {registry_name: m, version: 1, threshold: 0.5, is_silent: false}
- {registry_name: m, version: 2, threshold: 0.5, is_silent: true}
"""


@pytest.mark.parametrize("config", [CONFIG, SILENT])
def test_the_runtime_gets_what_an_answer_needs_only_and_says_the_same_bits(config: str) -> None:
    data = build_bundle([make_member(entry, 1) for entry in parse_config(config)], config_text=config)
    whole, part = open_session(data, single_rows=True), open_answers(data, "verdict", "scores")
    assert {one.name for one in part.get_outputs()} == {"verdict", "scores"}
    assert {one.name for one in part.get_inputs()} == {"text", "numbers"}
    assert part.get_modelmeta().custom_metadata_map == whole.get_modelmeta().custom_metadata_map
    writer = RowWriter(HTTP_1)
    for row in make_rows(50, seed=12):
        feed = writer.feed(row)
        for name in ("verdict", "scores"):
            assert part.run([name], feed)[0].tobytes() == whole.run([name], feed)[0].tobytes()


def test_what_no_answer_needs_is_not_in_the_part() -> None:
    data = build_bundle([make_member(entry, 1) for entry in parse_config(CONFIG)], config_text=CONFIG)
    kinds = [node.op_type for node in onnx.load_from_string(part_for(data, ["verdict"])).graph.node]
    assert kinds.count("GreaterOrEqual") == 1
    assert not {"ScatterND", "Expand", "Sigmoid"} & set(kinds)


MIXED = Contract.of("tls", 9, TLS_1.texts, TLS_1.columns, TLS_1.derived[::-1])  # derived numbers in no easy order


def test_rows_are_written_with_the_bits_of_a_batch() -> None:
    tls = make_tls_rows(200, seed=8)
    for contract, rows in ((HTTP_1, make_rows(200, seed=8)), (TLS_1, tls), (MIXED, tls)):
        writer, batch = RowWriter(contract), encode(contract, session_columns(rows))
        for number, row in [*enumerate(rows), *enumerate(rows)]:  # the second time out of what was seen
            feed = batch.feed(np.array([number]))
            assert writer.feed(row)["numbers"].tobytes() == feed["numbers"].tobytes()
            assert writer.feed(row)["text"].tobytes() == feed["text"].tobytes()


def test_texts_that_were_seen_are_forgotten_before_they_fill_the_memory() -> None:
    writer, row = RowWriter(HTTP_1), make_rows(1, seed=1)[0]
    seen = dict(writer._texts)
    for number in range(SEEN_TEXTS + 10):
        writer.write(row | {"user_agent": f"agent {number}", "host": "h" * (200 + number)})
    assert len(seen["user_agent"]) == 10
    assert not seen["host"]  # cut ones are not kept: an attacker chooses how long they are


def test_an_integer_beyond_every_float_is_infinite() -> None:
    odd = make_rows(1, seed=1)[0] | {"response_bytes": 10**400, "status": -(10**400), "dst_port": 10**39}
    assert RowWriter(HTTP_1).feed(odd)["numbers"].tobytes() == encode(HTTP_1, session_columns([odd])).numbers.tobytes()
