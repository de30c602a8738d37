"""The proofs of the bundle: it is its models, bit for bit, and says what it is."""

from __future__ import annotations

import hashlib
import json
import warnings

import numpy as np
import onnx
import pytest

from detection import bundle as bundle_module
from detection.bundle import BundleError, BundleTooLarge, build_bundle, read_metadata, with_receipt
from detection.bundle_config import parse_config
from detection.contract import HTTP_1, TextInput
from detection.graph import IR_VERSION, ML_OPSET, OPSET
from detection.latency import measure_latency
from detection.scoring import Scorer, check_model, open_session, probability
from detection.thresholds import raw_threshold
from detection.trees import build_version_model
from tests.detection.make_models import make_booster, make_inputs, make_member, make_rows, make_version
from tests.detection.test_bundle_config import SLIDE

THREE = """models:
- {registry_name: ktalk, version: 4, threshold: 0.4, is_silent: true}
- {registry_name: web, version: 1, threshold: 0.6, is_silent: false}
- {registry_name: telegram, version: 2, threshold: 0.5, is_silent: true}
- {registry_name: ktalk, version: 5, threshold: 0.55, is_silent: false}
"""


def make_bundle(config=SLIDE, seeds=(1, 2, 3, 4), **changes):
    entries = parse_config(config)
    members = [make_member(entry, seed) for entry, seed in zip(entries, seeds, strict=False)]
    return build_bundle(members, config_text=config, **changes)


def run(data, inputs, rows=None, run_silent=True, flow=None):
    rows = slice(None) if rows is None else rows
    feed = inputs.feed(rows) | {"run_silent": np.array(run_silent)}
    flow = np.arange(len(feed["numbers"])) if flow is None else np.asarray(flow)
    feed |= {"flow_index": flow[:, np.newaxis].astype(np.int64), "n_flows": np.array([flow.max() + 1], dtype=np.int64)}
    session = open_session(data)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def raw_of(seed, inputs):
    return Scorer(make_version(seed)).raw(inputs)


# what it says


def test_the_slide_builds_and_its_metadata_repeats_it():
    told = read_metadata(make_bundle())
    assert [
        {key: model[key] for key in ("registry_name", "version", "threshold", "is_silent")} for model in told["models"]
    ] == [
        {"registry_name": "Model_LGBM", "version": 1, "threshold": 0.7, "is_silent": True},
        {"registry_name": "Model_LGBM", "version": 2, "threshold": 0.5, "is_silent": False},
    ]
    assert told["models"][1]["onnx_digest"] == hashlib.sha256(make_version(2)).hexdigest()
    assert told["models"][1]["text_digest"] == "text 2"
    assert told["models"][1]["training_set_digest"] == "training set 2"
    assert told["models"][1]["gate_report_digest"] == "gate 2"
    assert told["models"][1]["raw_threshold"] == raw_threshold(0.5)
    assert told["config_digest"] == hashlib.sha256(SLIDE.encode()).hexdigest()
    assert told["contract"] == json.loads(HTTP_1.to_json())
    assert told["detectors"] == [
        {
            "registry_name": "Model_LGBM",
            "protocol": "http",
            "positive_class": "malicious",
            "rule_mapping": {"sids": [2024897], "max_severity": 2},
            "mapping_digest": "mapping",
        }
    ]


def test_every_key_of_the_metadata_is_reverse_dns():
    model = onnx.load_from_string(make_bundle(min_product_version="1.2"))
    assert {item.key.rpartition(".")[0] for item in model.metadata_props} == {"com.etalon"}
    assert read_metadata(model.SerializeToString())["min_product_version"] == "1.2"


def test_the_same_input_gives_the_same_bytes():
    assert make_bundle() == make_bundle()


def test_versions_of_opsets_and_file_are_fixed_and_the_checks_pass():
    data = make_bundle(THREE)
    model = onnx.load_from_string(data)
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": OPSET, "ai.onnx.ml": ML_OPSET}
    assert model.ir_version == IR_VERSION
    check_model(data)


def test_a_changed_threshold_gives_another_bundle_of_the_same_models():
    inputs = make_inputs(400, seed=21)
    first, second = make_bundle(), make_bundle(SLIDE.replace("0.5", "0.9"))
    assert first != second
    old, new = read_metadata(first), read_metadata(second)
    assert old["bundle"] != new["bundle"]
    assert [model["onnx_digest"] for model in old["models"]] == [model["onnx_digest"] for model in new["models"]]
    lost = run(first, inputs)["verdict"].sum() - run(second, inputs)["verdict"].sum()
    sums = raw_of(2, inputs)
    assert lost == ((sums >= raw_threshold(0.5)) & (sums < raw_threshold(0.9))).sum() > 0


def test_members_of_one_contract_share_one_feature_block():
    model = onnx.load_from_string(make_bundle(THREE))
    assert sum(node.op_type == "TfIdfVectorizer" for node in model.graph.node) == 1


# what it answers


@pytest.mark.parametrize("batch", [1, 7, 1024])
def test_the_bundle_is_its_models_one_by_one(batch):
    inputs = make_inputs(1024, seed=21)
    data = make_bundle(THREE)
    entries = parse_config(THREE)
    sums = np.stack([raw_of(seed, inputs) for seed in (1, 2, 3, 4)], axis=1)
    above = sums >= np.array([raw_threshold(entry.threshold) for entry in entries])
    for start in range(0, min(1022, batch * 20), batch):
        rows = slice(start, start + batch)
        found = run(data, inputs, rows)
        assert (found["above"] == above[rows]).all()
        assert (
            found["verdict"]
            == np.stack([above[rows, 3], above[rows, 1], np.zeros(batch, bool)], axis=1)[: len(found["verdict"])]
        ).all()
        assert found["scores"] == pytest.approx(probability(sums[rows]), abs=1e-15)


def raw_bundle(config=THREE):
    """The same bundle with its raw sums as one more output: only a test looks inside."""
    model = onnx.load_from_string(make_bundle(config))
    inside = next(node.input[0] for node in model.graph.node if node.output[0] == "scores")
    model.graph.output.append(onnx.helper.make_tensor_value_info(inside, onnx.TensorProto.DOUBLE, None))
    return model.SerializeToString(), inside


@pytest.mark.parametrize("batch", [1, 7, 1024])
def test_the_raw_sums_have_the_same_bits(batch):
    inputs = make_inputs(1024, seed=21)
    data, inside = raw_bundle()
    sums = np.stack([raw_of(seed, inputs) for seed in (1, 2, 3, 4)], axis=1)
    for start in range(0, min(1022, batch * 20), batch):
        rows = slice(start, start + batch)
        assert run(data, inputs, rows)[inside].tobytes() == sums[rows].tobytes()


def test_flow_answers_are_the_maxima_over_the_flow():
    inputs = make_inputs(1024, seed=21)
    flow = np.random.default_rng(1).integers(0, 300, 1024)
    flow[flow == 7] = 8  # a flow without a session
    flow[0] = 299
    found = run(make_bundle(THREE), inputs, flow=flow)
    sums = np.full((300, 4), -np.inf)
    np.maximum.at(sums, flow, np.stack([raw_of(seed, inputs) for seed in (1, 2, 3, 4)], axis=1))
    above = sums >= np.array([raw_threshold(entry.threshold) for entry in parse_config(THREE)])
    assert (found["flow_above"] == above).all()
    assert (found["flow_verdict"] == np.stack([above[:, 3], above[:, 1], np.zeros(300, bool)], axis=1)).all()
    assert not found["flow_above"][7].any()


def test_silent_models_that_did_not_run_are_nan_and_false():
    inputs = make_inputs(300, seed=21)
    data = make_bundle(THREE)
    off, on = run(data, inputs, run_silent=False), run(data, inputs, run_silent=True)
    silent, loud = [0, 2], [1, 3]
    assert np.isnan(off["scores"][:, silent]).all()
    assert not off["above"][:, silent].any()
    assert not off["flow_above"][:, silent].any()
    for output in ("scores", "above", "flow_above"):
        assert off[output][:, loud].tobytes() == on[output][:, loud].tobytes()
    assert not np.isnan(on["scores"]).any()
    assert (off["verdict"] == on["verdict"]).all()
    assert (off["flow_verdict"] == on["flow_verdict"]).all()


@pytest.mark.parametrize("silent", ["true", "false"])
def test_bundles_of_one_model_and_of_silent_models_only_answer(silent):
    config = f"models:\n- {{registry_name: m, version: 1, threshold: 0.5, is_silent: {silent}}}\n"
    inputs = make_inputs(300, seed=21)
    for run_silent in (True, False):
        found = run(make_bundle(config), inputs, run_silent=run_silent)
        assert found["scores"].shape == found["verdict"].shape == (300, 1)
        assert found["verdict"].any() == (silent == "false")
        assert found["above"].any() == (run_silent or silent == "false")


def test_a_single_session_needs_text_and_numbers_only():
    inputs = make_inputs(1, seed=21)
    answers = open_session(make_bundle()).run(["verdict", "flow_verdict"], inputs.feed())
    assert [answer.shape for answer in answers] == [(1, 1), (1, 1)]


def test_every_threshold_taken_from_a_score_fires_in_the_bundle():
    inputs = make_inputs(1024, seed=21)
    sums = raw_of(1, inputs)
    for at in np.argsort(sums)[:: len(sums) // 12]:
        taken = float(probability(sums[at]))
        config = f"models:\n- {{registry_name: m, version: 1, threshold: {taken!r}, is_silent: false}}\n"
        assert run(make_bundle(config), inputs)["verdict"][at, 0]


# what is refused


def test_versions_of_two_protocols_are_refused():
    first, second = parse_config(SLIDE)
    members = [make_member(first), make_member(second, protocol="tls")]
    with pytest.raises(BundleError, match="read the same protocol, these read http and tls"):
        build_bundle(members, config_text=SLIDE)


def test_a_version_of_another_contract_is_refused():
    first, second = parse_config(SLIDE)
    model = onnx.load_from_string(make_version(2))
    texts = (TextInput("uri", "uri", 99, is_folded=False), *HTTP_1.texts[1:])
    other = type(HTTP_1)("http", 2, texts, HTTP_1.numbers)
    model.metadata_props[0].value = other.to_json()
    members = [make_member(first), make_member(second, onnx_bytes=model.SerializeToString())]
    with pytest.raises(BundleError, match="http-1 and http-2"):
        build_bundle(members, config_text=SLIDE)
    with pytest.raises(BundleError, match="reads tls, its version was trained on http"):
        build_bundle([make_member(first, protocol="tls")], config_text=SLIDE)


def test_an_empty_bundle_and_a_foreign_model_are_refused():
    with pytest.raises(BundleError, match="at least one version"):
        build_bundle([], config_text="")
    foreign = onnx.load_from_string(make_version())
    del foreign.metadata_props[:]
    with pytest.raises(BundleError, match="Model_LGBM version 1: the model names no feature contract"):
        build_bundle([make_member(parse_config(SLIDE)[0], onnx_bytes=foreign.SerializeToString())], config_text=SLIDE)


def test_versions_that_disagree_about_their_detector_are_refused():
    first, second = parse_config(SLIDE)
    with pytest.raises(BundleError, match="disagree about their detector"):
        build_bundle([make_member(first), make_member(second, positive_class="ktalk")], config_text=SLIDE)


# size and latency


def test_trees_beyond_the_cache_are_warned_about(monkeypatch):
    monkeypatch.setattr(bundle_module, "CACHE_LEAVES", 1000)
    with pytest.warns(BundleTooLarge, match="leaves are more than the 1,000"):
        data = make_bundle()
    told = read_metadata(data)
    assert told["warnings"]
    assert int(told["leaves"]) == sum(model["leaves"] for model in told["models"]) > 1000


def test_a_small_bundle_warns_about_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_metadata(make_bundle())["warnings"] == []


def test_the_leaves_are_counted():
    dump = make_booster(1).dump_model()
    leaves = sum(tree["num_leaves"] for tree in dump["tree_info"])
    config = "models:\n- {registry_name: m, version: 1, threshold: 0.5, is_silent: false}\n"
    assert int(read_metadata(make_bundle(config))["leaves"]) == leaves
    assert build_version_model(HTTP_1, dump, {"text_digest": "text 1"}) == make_version(1)


def test_a_receipt_tells_warm_from_cold_and_travels_with_a_release():
    data = make_bundle()
    receipt = measure_latency(data, make_rows(50), windows=5, calls=40, cold_calls=10)
    assert len(receipt["warm"]) == 5
    assert all(0 < window["p50"] <= window["p99"] for window in [*receipt["warm"], receipt["cold"]])
    assert receipt["threads"] == 1
    assert receipt["cpu"]
    released = with_receipt(data, receipt)
    assert read_metadata(released)["latency"] == receipt
    assert with_receipt(released, receipt) == released
    inputs = make_inputs(50, seed=21)
    assert run(released, inputs)["scores"].tobytes() == run(data, inputs)["scores"].tobytes()
