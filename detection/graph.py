"""Writing an ONNX graph node by node, with names and bytes that depend on nothing but what is written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 21
ML_OPSET = 5
IR_VERSION = 10
ML_DOMAIN = "ai.onnx.ml"
PRODUCER = "etalon"


class GraphWriter:
    """Collects nodes and constants under one prefix. Equal constants are written once."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def add(self, op: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its (first) output."""
        return self.add_many(op, inputs, outputs=outputs, domain=domain, **attributes)[0]

    def add_many(
        self, op: str, inputs: Sequence[str], *, outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node and return the names of its outputs."""
        name = f"{self.prefix}/{len(self.nodes)}_{op}"
        names = [name] if outputs == 1 else [f"{name}:{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=name, domain=domain, **attributes))
        return names

    def name(self, value: str, output: str) -> str:
        """Give the newest node's output a name of its own."""
        node = self.nodes[-1]
        if list(node.output) != [value]:
            raise ValueError(f"{value} is not the output of the newest node")
        node.output[0] = output
        return output

    def constant(self, value: NDArray[Any]) -> str:
        """Return the name of a constant."""
        kind = f"{value.dtype}{list(value.shape)}".encode()
        digest = hashlib.sha256(kind + value.tobytes()).hexdigest()[:16]
        name = f"{self.prefix}/constant_{digest}"
        self.constants.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def ints(self, *values: int) -> str:
        """Return the name of an int64 vector."""
        return self.constant(np.array(values, dtype=np.int64))


def tensor(name: str, kind: int, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """Return the description of an input or output."""
    return helper.make_tensor_value_info(name, kind, list(shape))


def model(
    writers: Sequence[GraphWriter],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    """Return the nodes of all writers as one checked model."""
    nodes = [node for writer in writers for node in writer.nodes]
    constants = [constant for writer in writers for constant in writer.constants.values()]
    graph = helper.make_graph(nodes, "etalon", list(inputs), list(outputs), initializer=constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)]
    written = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name=PRODUCER)
    for key in sorted(metadata):
        written.metadata_props.add(key=key, value=metadata[key])
    onnx.checker.check_model(written, full_check=True)
    return written


def to_bytes(proto: onnx.ModelProto) -> bytes:
    """Return the model's bytes: the same model, the same bytes."""
    return bytes(proto.SerializeToString(deterministic=True))


FLOAT = TensorProto.FLOAT
DOUBLE = TensorProto.DOUBLE
INT32 = TensorProto.INT32
INT64 = TensorProto.INT64
BOOL = TensorProto.BOOL
