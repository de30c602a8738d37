"""LightGBM trees as one ONNX `TreeEnsemble` node that gives the same bits.

Splits, leaves and sums are float64; the usual converters round splits to float32. Written from `Booster.dump_model()`.
Features are counts, shares of counts and whole numbers: none lies between 0 and 1e-35, where LightGBM would read 0.

The training rows of each leaf travel along, read by nothing that scores: `contributions` weighs the sides of a split
by them, at the customer too.

The runtime walks to the next node in memory when a comparison is false and jumps when it is true. So the side that
took most training rows becomes the false one, by comparing the negated feature where that is the smaller side: a third
less time for one row, the same leaves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from detection.contract import METADATA_PREFIX, Contract
from detection.features import FEATURES, feature_inputs, feature_specs, write_features
from detection.graph import DOUBLE, FLOAT, ML_DOMAIN, GraphWriter, model, tensor, to_bytes

RAW = "raw"  # name of the output: the raw sum, float64 [N, 1]
ROWS = "trees/rows"  # name of a constant beside the trees: training rows of each leaf, int32
_DUMPED_INFINITY = 1e300  # the dump writes this for an infinite split value, JSON has no other
_LESS_OR_EQUAL = 0  # nodes_modes
_SUM = 1  # aggregate_function
_NO_TRANSFORM = 0  # post_transform


class UnsupportedModel(ValueError):  # noqa: N818
    """The model uses something that would not be bit-equal, or is no binary classifier."""


@dataclass
class _Ensemble:
    """The attributes of the node, grown tree by tree. Column f + width is the negated column f."""

    width: int
    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    missing_is_true: list[int] = field(default_factory=list)
    true: list[int] = field(default_factory=list)
    true_is_leaf: list[int] = field(default_factory=list)
    false: list[int] = field(default_factory=list)
    false_is_leaf: list[int] = field(default_factory=list)
    leaves: list[float] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)

    def add_tree(self, tree: Mapping[str, Any]) -> None:
        self.roots.append(len(self.splits))
        if "split_index" in tree:
            self._add_node(tree)
        else:
            self._add_constant(tree)

    def _add_node(self, node: Mapping[str, Any]) -> int:
        feature, threshold = int(node["split_feature"]), _threshold(node)
        missing_is_true = _missing_goes_left(node)
        true, false = node["left_child"], node["right_child"]
        if _rows(true) > _rows(false) and threshold < math.inf:  # x <= t becomes: not -x <= the double below -t
            feature, threshold = feature + self.width, math.nextafter(-threshold, -math.inf)
            true, false, missing_is_true = false, true, not missing_is_true
        number = self._open(feature, threshold, missing_is_true)
        self.true[number], self.true_is_leaf[number] = self._add_side(true)
        self.false[number], self.false_is_leaf[number] = self._add_side(false)
        return number

    def _add_side(self, side: Mapping[str, Any]) -> tuple[int, int]:
        if "split_index" in side:
            return self._add_node(side), 0
        if side.get("leaf_features"):
            raise UnsupportedModel("linear trees are not supported")
        return self._add_leaf(side), 1

    def _add_constant(self, tree: Mapping[str, Any]) -> None:
        # a tree needs a node: both sides lead to its only leaf
        number = self._open(0, 0.0, False)
        leaf = self._add_leaf(tree)
        self.true[number] = self.false[number] = leaf
        self.true_is_leaf[number] = self.false_is_leaf[number] = 1

    def _open(self, feature: int, split: float, missing_is_true: bool) -> int:
        self.features.append(feature)
        self.splits.append(split)
        self.missing_is_true.append(int(missing_is_true))
        for side in (self.true, self.true_is_leaf, self.false, self.false_is_leaf):
            side.append(0)
        return len(self.splits) - 1

    def _add_leaf(self, leaf: Mapping[str, Any]) -> int:
        self.leaves.append(float(leaf["leaf_value"]))
        self.rows.append(_rows(leaf))
        return len(self.leaves) - 1


def _rows(side: Mapping[str, Any]) -> int:
    return int(side.get("internal_count", side.get("leaf_count", 0)))


def _threshold(node: Mapping[str, Any]) -> float:
    if node["decision_type"] != "<=":
        raise UnsupportedModel(f"categorical splits are not supported (decision type {node['decision_type']!r})")
    threshold = float(node["threshold"])
    if abs(threshold) >= _DUMPED_INFINITY:
        return math.copysign(math.inf, threshold)
    return threshold


def _missing_goes_left(node: Mapping[str, Any]) -> bool:
    missing = node["missing_type"]
    if missing == "NaN":
        return bool(node["default_left"])
    if missing == "None":  # LightGBM reads NaN as 0 there
        return float(node["threshold"]) >= 0.0
    raise UnsupportedModel("zero as missing is not supported: train with zero_as_missing=false")


def check_dump(dump: Mapping[str, Any], features: int) -> None:
    """Refuse what is no binary model over `features` numeric features."""
    objective = str(dump.get("objective", "")).split()
    if dump.get("num_class") != 1 or dump.get("num_tree_per_iteration") != 1 or objective[:1] != ["binary"]:
        raise UnsupportedModel(f"only binary models are supported, not {' '.join(objective) or 'this one'!r}")
    if "sigmoid:1" not in objective:
        raise UnsupportedModel("only sigmoid=1 is supported")
    if dump.get("average_output"):
        raise UnsupportedModel("averaged outputs (random forests) are not supported")
    if dump["max_feature_idx"] + 1 != features:
        raise UnsupportedModel(f"the model reads {dump['max_feature_idx'] + 1} features, the contract has {features}")
    if not dump["tree_info"]:
        raise UnsupportedModel("the model has no trees")


def write_trees(dump: Mapping[str, Any], n_features: int, features: str = FEATURES) -> GraphWriter:
    """Return the nodes from the features to the output `raw`."""
    check_dump(dump, n_features)
    ensemble = _Ensemble(n_features)
    for tree in dump["tree_info"]:
        if tree["tree_structure"].get("leaf_features"):
            raise UnsupportedModel("linear trees are not supported")
        ensemble.add_tree(tree["tree_structure"])
    graph = GraphWriter("trees")
    both = graph.add("Concat", features, graph.add("Neg", features), axis=1)
    doubles = graph.add("Cast", both, to=DOUBLE)
    graph.name(graph.add("TreeEnsemble", doubles, domain=ML_DOMAIN, **_attributes(ensemble)), RAW)
    graph.constants[ROWS] = numpy_helper.from_array(np.array(ensemble.rows, dtype=np.int32), ROWS)
    return graph


def _attributes(ensemble: _Ensemble) -> dict[str, Any]:
    return {
        "nodes_featureids": ensemble.features,
        "nodes_modes": numpy_helper.from_array(np.full(len(ensemble.splits), _LESS_OR_EQUAL, dtype=np.uint8)),
        "nodes_splits": numpy_helper.from_array(np.array(ensemble.splits, dtype=np.float64)),
        "nodes_missing_value_tracks_true": ensemble.missing_is_true,
        "nodes_truenodeids": ensemble.true,
        "nodes_trueleafs": ensemble.true_is_leaf,
        "nodes_falsenodeids": ensemble.false,
        "nodes_falseleafs": ensemble.false_is_leaf,
        "tree_roots": ensemble.roots,
        "leaf_targetids": [0] * len(ensemble.leaves),
        "leaf_weights": numpy_helper.from_array(np.array(ensemble.leaves, dtype=np.float64)),
        "n_targets": 1,
        "aggregate_function": _SUM,
        "post_transform": _NO_TRANSFORM,
    }


def tree_ensemble_model(dump: Mapping[str, Any], n_features: int) -> onnx.ModelProto:
    """Return a model of the trees alone: `features` float32 [N, F] → `raw` float64 [N, 1]."""
    inputs = [tensor(FEATURES, FLOAT, ["N", n_features])]
    return model([write_trees(dump, n_features)], inputs, [tensor(RAW, DOUBLE, ["N", 1])], {})


def build_version_model(contract: Contract, dump: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    """Return a version as ONNX bytes: a session in, `raw` and `features` out. The same dump gives the same bytes."""
    count = len(feature_specs(contract))
    trees = write_trees(dump, count)
    outputs = [tensor(RAW, DOUBLE, ["N", 1]), tensor(FEATURES, FLOAT, ["N", count])]
    properties = {f"{METADATA_PREFIX}contract": contract.to_json(), **_prefixed(metadata)}
    return to_bytes(model([write_features(contract), trees], feature_inputs(contract), outputs, properties))


def _prefixed(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key if "." in key else f"{METADATA_PREFIX}{key}": value for key, value in metadata.items()}
