"""What an appliance reads of an ONNX file itself, without the `onnx` package, which it does not carry: its trees, and
the part of it that an answer needs.

Protocol buffers by their wire format (https://protobuf.dev/programming-guides/encoding/), the field numbers of
onnx.proto. For files that were checked against their signed digest: a torn one raises an error of any kind."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH = 7
_NODE, _INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _VALUE_INFO = 1, 5, 11, 12, 13  # of a graph
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE = 1, 2, 4, 5  # of a node
_VALUE_NAME = 1  # of an input or output
_ATTRIBUTE_NAME, _TENSOR, _GRAPH, _INTS = 1, 5, 6, 8  # of an attribute
_DATA_TYPE, _TENSOR_NAME, _RAW_DATA = 2, 8, 9  # of a tensor
_TYPES: dict[int, np.dtype[Any]] = {2: np.dtype("u1"), 6: np.dtype("<i4"), 11: np.dtype("<f8")}

Constants = dict[str, NDArray[Any]]


def tree_ensembles(onnx_bytes: bytes) -> tuple[dict[str, Constants], Constants]:
    """Return the attributes of each TreeEnsemble node by the name of its output, and the constants by their names."""
    nodes: dict[str, Constants] = {}
    constants: Constants = {}
    for number, graph in _fields(memoryview(onnx_bytes)):
        if number == _MODEL_GRAPH:
            _read_graph(graph, nodes, constants)
    return nodes, constants


def _read_graph(graph: Any, nodes: dict[str, Constants], constants: Constants) -> None:
    for number, value in _fields(graph):
        if number == _NODE:
            _read_node(value, nodes, constants)
        elif number == _INITIALIZER and (found := _tensor(value)) is not None:
            constants[found[0]] = found[1]


def _read_node(node: Any, nodes: dict[str, Constants], constants: Constants) -> None:
    parts = list(_fields(node))
    attributes = [list(_fields(value)) for number, value in parts if number == _ATTRIBUTE]
    for attribute in attributes:  # silent models stand in the branches of an If
        for number, value in attribute:
            if number == _GRAPH:
                _read_graph(value, nodes, constants)
    if any(number == _OPERATOR and bytes(value) == b"TreeEnsemble" for number, value in parts):
        [output] = [bytes(value).decode() for number, value in parts if number == _OUTPUT]
        nodes[output] = dict(filter(None, map(_read_attribute, attributes)))


def _read_attribute(parts: list[tuple[int, Any]]) -> tuple[str, NDArray[Any]] | None:
    """Return an attribute that is a tensor or a list of whole numbers."""
    name = next(bytes(value).decode() for number, value in parts if number == _ATTRIBUTE_NAME)
    ints: list[int] = []
    for number, value in parts:
        if number == _TENSOR and (found := _tensor(value)) is not None:
            return name, found[1]
        if number == _INTS:
            ints += [value] if isinstance(value, int) else _packed(value)
    return (name, np.array(ints, dtype=np.int64)) if ints else None


def _tensor(tensor: Any) -> tuple[str, NDArray[Any]] | None:
    """Return name and values of a tensor of a type that trees are made of."""
    parts = dict(_fields(tensor))
    kind = _TYPES.get(parts.get(_DATA_TYPE, 0))
    if kind is None or _RAW_DATA not in parts:
        return None
    return bytes(parts.get(_TENSOR_NAME, b"")).decode(), np.frombuffer(parts[_RAW_DATA], dtype=kind)


# The part of a file that an answer needs


def part_for(onnx_bytes: bytes, outputs: Collection[str], fixed: Collection[str] = ()) -> bytes:
    """Return the file with what these outputs need, and nothing else; the bits of the outputs stay.

    `fixed`: inputs that nobody will give; they keep the value that the file has for them, once and for all."""
    parts = []
    for number, value in _fields(memoryview(onnx_bytes)):
        if number == _MODEL_GRAPH:
            value = _part_of_graph(value, set(outputs), set(fixed))
        parts.append(_field(number, value))
    return b"".join(parts)


def _part_of_graph(graph: Any, outputs: set[str], fixed: set[str]) -> bytes:
    fields = list(_fields(graph))
    needed, nodes = set(outputs), set()
    for at in range(len(fields) - 1, -1, -1):  # a node stands behind those it reads
        number, value = fields[at]
        if number == _NODE and not needed.isdisjoint(_names(value, _OUTPUT)):
            nodes.add(at)
            needed.update(_reads(value))
    values = {_name(value, _TENSOR_NAME) for number, value in fields if number == _INITIALIZER}
    kept = {
        _INITIALIZER: (_TENSOR_NAME, needed),
        _GRAPH_INPUT: (_VALUE_NAME, needed - (fixed & values)),
        _GRAPH_OUTPUT: (_VALUE_NAME, outputs),
        _VALUE_INFO: (_VALUE_NAME, set[str]()),  # the runtime finds the shapes between
    }
    return b"".join(
        _field(number, value)
        for at, (number, value) in enumerate(fields)
        if (at in nodes if number == _NODE else number not in kept or _name(value, kept[number][0]) in kept[number][1])
    )


def _reads(node: Any) -> Iterator[str]:
    """Yield what a node reads, in the branches of an If too."""
    parts = list(_fields(node))
    yield from (bytes(value).decode() for number, value in parts if number == _INPUT)
    if (_OPERATOR, b"If") in parts:
        branches = (value for number, value in parts if number == _ATTRIBUTE)
        for graph in (value for branch in branches for number, value in _fields(branch) if number == _GRAPH):
            for number, value in _fields(graph):
                if number == _NODE:
                    yield from _reads(value)


def _names(message: Any, wanted: int) -> Iterator[str]:
    return (bytes(value).decode() for number, value in _fields(message) if number == wanted)


def _name(message: Any, wanted: int) -> str:
    return next(_names(message, wanted), "")


def _field(number: int, value: Any) -> bytes:
    """Return a field as it stands in a file: a whole number, or what lies inside with its length."""
    if isinstance(value, int):
        return _written(number << 3 | _VARINT) + _written(value)
    return b"".join((_written(number << 3 | _BYTES), _written(len(value)), value))


def _written(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*data, value))


# The wire format


def _fields(data: Any) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field of a message: a whole number, or the bytes of what lies inside."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"no protocol buffer: a field of the kind {kind}")
        yield key >> 3, data[at : at + size]
        at += size


def _packed(data: Any) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


def _varint(data: Any, at: int) -> tuple[int, int]:
    """Return a whole number and where it ends; trees have no negative ones."""
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
