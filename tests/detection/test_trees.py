"""The first proof of the bundle: ONNX raw sums are LightGBM's, bit for bit."""

from __future__ import annotations

import copy
import re

import lightgbm
import numpy as np
import pytest

from detection.contract import HTTP_1
from detection.graph import to_bytes
from detection.scoring import features, open_session
from detection.trees import UnsupportedModel, build_version_model, tree_ensemble_model
from tests.detection.make_models import FEATURES, make_booster, make_inputs, make_matrix, make_version, train

WIDTH = 24
LIGHTGBM_ZERO = 1.0000000180025095e-35  # Booster.predict reads smaller values as 0; no feature of ours is that small


def ours(booster, values):
    session = open_session(to_bytes(tree_ensemble_model(booster.dump_model(), values.shape[1])))
    return np.concatenate(
        [session.run(["raw"], {"features": values[at : at + 512]})[0][:, 0] for at in range(0, len(values), 512)]
    )


def theirs(booster, values):
    return booster.predict(values, raw_score=True, num_threads=1)


def assert_same_bits(booster, values):
    assert ours(booster, values).tobytes() == theirs(booster, values).tobytes()


@pytest.fixture(scope="module")
def random_booster():
    values = make_matrix(6000, seed=1, width=WIDTH)
    label = (np.nan_to_num(values[:, 0], posinf=3, neginf=-3) + np.isnan(values[:, 1]) > 0.3).astype(int)
    return train(values, label, 1, trees=100, leaves=31)


def test_a_hundred_thousand_random_rows_have_the_same_bits(random_booster):
    assert_same_bits(random_booster, make_matrix(100_000, seed=2, width=WIDTH))


def test_ten_thousand_rows_exactly_on_split_values_have_the_same_bits(random_booster):
    """Split values are moved to the nearest float32, so that a feature can lie on one."""
    text = re.sub(
        r"(?m)^threshold=(.*)$",
        lambda line: "threshold=" + " ".join(repr(float32(value)) for value in line[1].split()),
        re.sub(r"(?m)^tree_sizes=.*\n", "", random_booster.model_to_string()),
    )
    booster = lightgbm.Booster(model_str=text)
    splits = {feature: set() for feature in range(WIDTH)}
    for tree in booster.dump_model()["tree_info"]:
        for node in nodes(tree["tree_structure"]):
            splits[node["split_feature"]].add(float32(node["threshold"]))
    draw = np.random.default_rng(3)
    columns = [draw.choice(sorted(splits[feature]) or [0.0], 10_000) for feature in range(WIDTH)]
    values = np.stack(columns, axis=1).astype(np.float32)
    assert (values.astype(np.float64) == np.stack(columns, axis=1)).all()
    values[np.abs(values) <= np.float32(LIGHTGBM_ZERO)] = 0.0
    values[draw.random(values.shape) < 0.05] = np.nan
    values[draw.random(values.shape) < 0.02] = np.inf
    assert_same_bits(booster, values)
    neighbours = np.nextafter(values, np.where(draw.random(values.shape) < 0.5, -np.inf, np.inf).astype(np.float32))
    neighbours[np.abs(neighbours) <= np.float32(LIGHTGBM_ZERO)] = 0.0
    assert_same_bits(booster, neighbours)


def float32(value):
    with np.errstate(over="ignore"):
        return float(np.float32(float(value)))


def nodes(node):
    if "split_index" in node:
        yield node
        yield from nodes(node["left_child"])
        yield from nodes(node["right_child"])


def test_missing_values_without_missing_training_data_are_read_as_zero():
    values = make_matrix(3000, seed=4, width=WIDTH, missing=0)
    values = np.nan_to_num(values, posinf=5, neginf=-5).astype(np.float32)
    booster = train(values, (values[:, 0] > 0).astype(int), 1, trees=20, leaves=15, use_missing=False)
    kinds = {
        node["missing_type"] for tree in booster.dump_model()["tree_info"] for node in nodes(tree["tree_structure"])
    }
    assert kinds == {"None"}
    assert_same_bits(booster, make_matrix(5000, seed=5, width=WIDTH))


def test_infinite_split_values_are_kept(random_booster):
    """LightGBM splits between finite and infinite values; its dump writes 1e300 there, and infinity is above that."""
    dumped = [
        node["threshold"] for tree in random_booster.dump_model()["tree_info"] for node in nodes(tree["tree_structure"])
    ]
    assert 1e300 in dumped
    assert_same_bits(random_booster, np.full((10, WIDTH), np.inf, dtype=np.float32))
    assert_same_bits(random_booster, np.full((10, WIDTH), -np.inf, dtype=np.float32))


def test_one_row_and_many_have_the_same_bits(random_booster):
    values = make_matrix(4000, seed=6, width=WIDTH)
    session = open_session(to_bytes(tree_ensemble_model(random_booster.dump_model(), WIDTH)))
    whole = session.run(["raw"], {"features": values})[0]
    for size in (1, 40):
        parts = [session.run(["raw"], {"features": values[at : at + size]})[0] for at in range(0, 400, size)]
        assert np.concatenate(parts).tobytes() == whole[:400].tobytes()


def test_a_constant_tree_keeps_its_value():
    values = make_matrix(200, seed=7, width=WIDTH)
    booster = train(values, (np.arange(200) % 4 == 0).astype(int), 1, trees=3, leaves=2, min_data_in_leaf=150)
    assert "split_index" not in booster.dump_model()["tree_info"][0]["tree_structure"]
    assert_same_bits(booster, values)


def test_a_version_has_the_bits_of_its_booster_from_the_session_on():
    from detection.scoring import Scorer

    inputs = make_inputs(3000, seed=8)
    raw = Scorer(make_version()).raw(inputs)
    assert raw.tobytes() == theirs(make_booster(), features(HTTP_1, inputs)).tobytes()


def test_the_same_dump_gives_the_same_bytes():
    dump = make_booster().dump_model()
    metadata = {"b": "1", "a": "2"}
    first = build_version_model(HTTP_1, dump, metadata)
    assert first == build_version_model(HTTP_1, copy.deepcopy(dump), dict(reversed(metadata.items())))


# what is refused


def refused(dump, message, width=FEATURES):
    with pytest.raises(UnsupportedModel, match=message):
        tree_ensemble_model(dump, width)


def changed(**values):
    return make_booster().dump_model() | values


def test_other_objectives_are_refused():
    refused(changed(objective="regression"), "only binary models")
    refused(changed(num_class=3), "only binary models")
    refused(changed(objective="binary sigmoid:2"), "sigmoid=1")
    refused(changed(average_output=True), "random forests")
    refused(changed(tree_info=[]), "no trees")


def test_another_number_of_features_is_refused():
    refused(make_booster().dump_model(), f"reads {FEATURES} features, the contract has 5", 5)


def first_split(**values):
    dump = copy.deepcopy(make_booster().dump_model())
    dump["tree_info"][0]["tree_structure"].update(values)
    return dump


def test_splits_that_would_not_be_equal_are_refused():
    refused(first_split(decision_type="=="), "categorical")
    refused(first_split(missing_type="Zero"), "zero as missing")


def test_categorical_and_linear_training_is_refused():
    values = np.abs(np.nan_to_num(make_matrix(500, seed=9, width=4), posinf=2, neginf=2)).astype(np.float32)
    label = (values[:, 0] > 0.5).astype(int)
    categories = lightgbm.train(
        {"objective": "binary", "verbose": -1, "min_data_per_group": 1, "num_threads": 1},
        lightgbm.Dataset(np.floor(values * 3), np.floor(values[:, 0] * 3) % 2, categorical_feature=[0]),
        2,
    )
    refused(categories.dump_model(), "categorical", 4)
    linear = train(values, label, 1, trees=2, leaves=4, linear_tree=True)
    refused(linear.dump_model(), "linear trees", 4)
