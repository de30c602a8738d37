"""Scores of a feature vector by the very bundle file: its graph without the part that makes features."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from onnx import helper

from detection.features import FEATURES
from detection.scoring import open_session

_FLOAT = onnx.TensorProto.FLOAT


class WrongVector(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """The bundle cannot score this vector; the message says why."""


def scores(bundle: bytes, features: tuple[float, ...]) -> tuple[float, ...]:
    """Return the score of every version in a bundle, silent ones too. Raises WrongVector."""
    session, name = _trees(bundle)
    width = session.get_inputs()[0].shape[1]
    if len(features) != width:
        raise WrongVector(f"{len(features)} features, the bundle reads {width}")
    feed: dict[str, Any] = {name: np.array([features], dtype=np.float32)}
    feed |= {one.name: np.array(True) for one in session.get_inputs()[1:]}
    return tuple(-1.0 if math.isnan(one) else one for one in session.run(["scores"], feed)[0][0].tolist())


@lru_cache(maxsize=8)
def _trees(bundle: bytes) -> tuple[Any, str]:
    """Return a session from features to scores, and the name of its first input."""
    proto = onnx.load_from_string(bundle)
    graph = proto.graph
    made = (out for node in graph.node for out in node.output)
    name = next((out for out in made if out.rpartition("/")[2] == FEATURES), None)  # older bundles: of a block
    if name is None:
        raise WrongVector("the bundle keeps its features to itself")
    nodes = _between(graph, name)
    used = {one for node in nodes for one in _reads(node)}
    inferred = onnx.shape_inference.infer_shapes(proto).graph
    shapes = {value.name: value for value in (*inferred.value_info, *inferred.output)}
    width = shapes[name].type.tensor_type.shape.dim[1].dim_value
    inputs = [helper.make_tensor_value_info(name, _FLOAT, ["N", width])]
    inputs += [value for value in graph.input if value.name in used]
    kept = helper.make_graph(
        nodes,
        "trees",
        inputs,
        [value for value in graph.output if value.name == "scores"],
        initializer=[one for one in graph.initializer if one.name in used],
    )
    trees = helper.make_model(kept, opset_imports=proto.opset_import, ir_version=proto.ir_version)
    return open_session(trees.SerializeToString(), single_rows=True), name


def _between(graph: onnx.GraphProto, features: str) -> list[onnx.NodeProto]:
    """Return the nodes that the scores need behind the features."""
    needed, nodes = {"scores"}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(name for name in _reads(node) if name != features)
    return list(reversed(nodes))


def _reads(node: onnx.NodeProto) -> set[str]:
    """Return what a node reads, also inside its branches."""
    names = set(node.input)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in attribute.g.node:
                names |= _reads(inner)
    return names
