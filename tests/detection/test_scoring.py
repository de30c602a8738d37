from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from detection import scoring
from detection.contract import HTTP_1, encode
from detection.scoring import RefusedModel, Scorer, check_model, probability, sorted_batches
from detection.sessions import COLUMN_NAMES
from detection.thresholds import raw_threshold
from tests.detection.make_models import make_inputs, make_version


def test_rows_come_back_in_their_order_whatever_their_length():
    inputs = make_inputs(1500, seed=11)
    scorer = Scorer(make_version())
    whole = scorer.raw(inputs)
    single = [scorer._session.run(["raw"], inputs.feed(slice(at, at + 1))) for at in range(50)]
    assert [float(answer[0][0, 0]) for answer in single] == whole[:50].tolist()


def test_the_size_of_a_batch_changes_no_bit(monkeypatch):
    inputs = make_inputs(1500, seed=11)
    scorer = Scorer(make_version())
    whole = scorer.raw(inputs)
    for size in (1, 40, 4000):
        monkeypatch.setattr(scoring, "BATCH", size)
        assert scorer.raw(inputs).tobytes() == whole.tobytes()


def test_sessions_that_look_alike_are_scored_once_with_the_same_bits(monkeypatch):
    inputs = make_inputs(300, seed=11)
    twice = inputs.take(np.tile(np.arange(300), 2)[::-1])
    scorer, fed = Scorer(make_version()), []
    whole = scorer.raw(inputs)
    monkeypatch.setattr(scoring, "sorted_batches", lambda one: fed.append(len(one)) or sorted_batches(one))
    assert scorer.raw(twice).tobytes() == np.tile(whole, 2)[::-1].tobytes()
    assert fed[0] <= 300


def test_sessions_whose_keys_collide_are_still_told_apart(monkeypatch):
    inputs = make_inputs(300, seed=11)
    scorer = Scorer(make_version())
    whole = scorer.raw(inputs)
    monkeypatch.setattr(np.random, "default_rng", lambda seed: NoChance())
    assert scorer.raw(inputs).tobytes() == whole.tobytes()


class NoChance:
    """Weights that give every row one key."""

    def integers(self, least, most, count):
        return np.zeros(count, dtype=np.int64)


def test_no_rows_have_no_scores():
    assert Scorer(make_version()).raw(encode(HTTP_1, {name: [] for name in COLUMN_NAMES})).shape == (0,)


def test_twenty_thousand_thresholds_taken_from_scores_all_fire():
    raw = np.random.default_rng(1).normal(scale=4, size=20_000)
    raw[:2000] = np.repeat(Scorer(make_version()).raw(make_inputs(1500, seed=11)), 2)[:2000]
    taken = probability(raw)
    assert all(sum_ >= raw_threshold(p) for sum_, p in zip(raw.tolist(), taken.tolist(), strict=True))


def test_probabilities_have_the_shape_of_the_sums():
    assert float(probability(0.0)) == 0.5
    assert probability(np.zeros((2, 3))).shape == (2, 3)


def test_a_model_without_contract_is_refused():
    model = onnx.load_from_string(make_version())
    del model.metadata_props[:]
    with pytest.raises(RefusedModel, match="names no feature contract"):
        Scorer(model.SerializeToString())


# what may come in


def test_a_version_is_accepted():
    check_model(make_version())


def changed(change):
    model = onnx.load_from_string(make_version())
    change(model)
    return model.SerializeToString()


def unknown_domain(model):
    model.graph.node[0].domain = "com.example.evil"
    model.opset_import.append(helper.make_opsetid("com.example.evil", 1))


def hidden_domain(model):
    inner = helper.make_graph([helper.make_node("Evil", [], ["x"], domain="com.hidden")], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner))


def external_data(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_data_in_an_attribute(model):
    tensor = TensorProto(name="hidden", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../weights")
    model.graph.node.append(helper.make_node("Constant", [], ["hidden"], value=tensor))


def oversize(model):
    model.graph.initializer.append(TensorProto(name="huge", data_type=1, dims=[2**20, 2**20]))


def own_function(model):
    model.functions.append(helper.make_function("", "f", [], [], [], [helper.make_opsetid("", 21)]))


def broken_graph(model):
    model.graph.node[-1].input[0] = "nowhere"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unknown_domain, "unknown operator domain 'com.example.evil'"),
        (hidden_domain, "unknown operator domain 'com.hidden'"),
        (external_data, "keeps its data outside the file"),
        (external_data_in_an_attribute, "'hidden' keeps its data outside the file"),
        (oversize, "'huge' is larger than"),
        (own_function, "brings its own functions"),
        (broken_graph, "the ONNX checker refuses the model"),
    ],
)
def test_a_dangerous_or_broken_onnx_is_refused_with_its_own_message(change, message):
    with pytest.raises(RefusedModel, match=message):
        check_model(changed(change))


def zip_file():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        *((pickle.dumps({"model": 1}, protocol=protocol), "pickle") for protocol in (2, 3, 4, 5)),
        (zip_file(), "zip archive"),
        (b"\x1f\x8b\x08\x00rest", "compressed"),
        (b"x\x9c\x03\x00", "compressed"),
        (b"tree\nversion=v4\n", "LightGBM text model"),
        (b"", "no graph"),
        (b"<html>", "cannot be decoded"),
        (pickle.dumps([1, 2], protocol=0), "not ONNX"),
    ],
)
def test_what_is_no_onnx_is_refused_with_its_own_message(data, message):
    with pytest.raises(RefusedModel, match=message):
        check_model(data)


def test_a_file_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr(scoring, "LARGEST_MODEL", 1000)
    with pytest.raises(RefusedModel, match="more than 1,000"):
        check_model(make_version())
