"""Contributions worked out where a bundle runs are LightGBM's own, and sum up to the raw score."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from detection import contributions
from detection.bundle import build_bundle
from detection.bundle_config import parse_config
from detection.contract import HTTP_1, encode, session_columns
from detection.scoring import Scorer, features
from detection.trees import ROWS, build_version_model
from tests.detection.make_models import make_booster, make_inputs, make_member, make_rows, make_version, train

CONFIG = """models:
- {registry_name: loud, version: 1, threshold: 0.5, is_silent: false}
- {registry_name: silent, version: 2, threshold: 0.5, is_silent: true}
"""


def bundle(*versions: bytes) -> bytes:
    entries = parse_config(CONFIG)[: len(versions)]
    members = [make_member(entry, onnx_bytes=version) for entry, version in zip(entries, versions, strict=True)]
    return build_bundle(members, config_text=CONFIG)


def test_they_are_those_of_lightgbm_and_sum_up_to_the_raw_score() -> None:
    rows = make_rows(12, seed=5)
    inputs = encode(HTTP_1, session_columns(rows))
    values = features(HTTP_1, inputs)
    data = bundle(make_version(1), make_version(2, 10, 63))
    boosters = (make_booster(1), make_booster(2, 10, 63))
    raw = [Scorer(version).raw(inputs) for version in (make_version(1), make_version(2, 10, 63))]
    for number, vector in enumerate(values):
        found = contributions.of_bundle(data, vector.tolist())
        assert set(found) == {0, 1}  # the silent one too
        for column, booster in enumerate(boosters):
            expected = booster.predict(vector[np.newaxis], pred_contrib=True, num_threads=1)[0]
            assert found[column].features == pytest.approx(expected[:-1], abs=1e-12)
            assert found[column].base == pytest.approx(expected[-1], abs=1e-12)
            assert found[column].base + sum(found[column].features) == pytest.approx(raw[column][number], abs=1e-9)


def test_trees_that_never_split_add_nothing() -> None:
    values = features(HTTP_1, make_inputs(300, 3))
    label = (np.arange(len(values)) % 3 == 0).astype(int)
    booster = train(values, label, 1, trees=2, leaves=2, min_gain_to_split=1e9)
    [found] = contributions.of_bundle(
        bundle(build_version_model(HTTP_1, booster.dump_model(), {"text_digest": "t"})), values[0].tolist()
    ).values()
    assert found.base == pytest.approx(booster.predict(values[:1], raw_score=True)[0])
    assert not any(found.features)


def test_versions_whose_leaves_tell_no_rows_are_left_out() -> None:
    proto = onnx.load_from_string(make_version(1))
    [rows] = [constant for constant in proto.graph.initializer if constant.name == ROWS]
    proto.graph.initializer.remove(rows)
    data = bundle(proto.SerializeToString(deterministic=True), make_version(2, 10, 63))
    assert set(contributions.of_bundle(data, features(HTTP_1, make_inputs(1, 3))[0].tolist())) == {1}
