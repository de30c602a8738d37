"""Scores of sessions by the runtime: one thread and one order of additions, so any batch gives the same bits.

Needs onnxruntime and numpy; `onnx` only to check a model that comes from outside and to build the bare feature graph.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from detection.contract import METADATA_PREFIX, Contract, Inputs
from detection.thresholds import sigmoid

BATCH = 512  # rows of one run: the arrays of a run stay in the cache
DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
LARGEST_TENSOR = 64 * 2**20  # bytes
LARGEST_MODEL = 512 * 2**20  # bytes


class RefusedModel(ValueError):  # noqa: N818
    """The file is no model we would run; the message says why."""


def open_session(onnx_bytes: bytes, *, single_rows: bool = False) -> Any:
    """Return a runtime session with one thread; `single_rows` when every run has one row, as on an appliance."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # two threads change the last bits of sums
    options.inter_op_num_threads = 1
    # the runtime keeps a plan of its memory per shape: faster, and bounded only if the number of rows never changes
    options.enable_mem_pattern = single_rows
    options.enable_cpu_mem_arena = False  # small arrays: the allocator of the system is faster
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(onnx_bytes, options, providers=["CPUExecutionProvider"])


def parse_metadata(properties: Mapping[str, str]) -> dict[str, Any]:
    """Return the product's properties by their short keys; lists and objects are read, the rest are texts."""
    return {
        key.removeprefix(METADATA_PREFIX): json.loads(text) if text[:1] in ("{", "[") else text
        for key, text in sorted(properties.items())
        if key.startswith(METADATA_PREFIX)
    }


class Scorer:
    """A version's model, ready to score."""

    def __init__(self, onnx_bytes: bytes) -> None:
        self._session = open_session(onnx_bytes)
        properties = self._session.get_modelmeta().custom_metadata_map
        if f"{METADATA_PREFIX}contract" not in properties:
            raise RefusedModel("the model names no feature contract: it was not built here")
        self.metadata = parse_metadata(properties)
        self.contract = Contract.from_json(properties[f"{METADATA_PREFIX}contract"])

    def raw(self, inputs: Inputs) -> NDArray[np.float64]:
        """Return the raw sum of each session, in the order given; sessions that look alike are scored once."""
        first, place = inputs.distinct()
        looks = inputs.take(first)
        sums = np.empty(len(looks), dtype=np.float64)
        for rows, feed in sorted_batches(looks):
            sums[rows] = self._session.run(["raw"], feed)[0][:, 0]
        return sums.take(place)


def sorted_batches(inputs: Inputs) -> Iterator[tuple[NDArray[np.intp], dict[str, NDArray[Any]]]]:
    """Yield row numbers and feeds of batches of equally long texts: padding costs time, and no bits."""
    order = np.argsort(inputs.sizes, kind="stable")
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        yield rows, inputs.feed(rows)


def features(contract: Contract, inputs: Inputs) -> NDArray[np.float32]:
    """Return the features of each session, as every model of this contract sees them."""
    session = _feature_session(contract)
    columns = session.get_outputs()[0].shape[1]
    values = np.empty((len(inputs), columns), dtype=np.float32)
    for rows, feed in sorted_batches(inputs):
        values[rows] = session.run(["features"], feed)[0]
    return values


@cache
def _feature_session(contract: Contract) -> Any:
    from detection.features import feature_model  # builds with onnx, which an appliance need not carry

    return open_session(feature_model(contract).SerializeToString())


def probability(raw: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return the probabilities of raw sums. The libm exponential, not numpy's: thresholds are taken from these."""
    values = np.asarray(raw, dtype=np.float64)
    flat = np.fromiter(map(sigmoid, values.ravel().tolist()), dtype=np.float64, count=values.size)
    return flat.reshape(values.shape)


# What a model from outside must be


def check_model(onnx_bytes: bytes) -> None:
    """Refuse anything but a plain ONNX file: `RefusedModel` with the reason."""
    check_kind(onnx_bytes)
    import onnx  # only where models come in

    model = onnx.ModelProto()
    try:
        model.ParseFromString(onnx_bytes)
    except Exception as error:  # protobuf's DecodeError, from a package of its own
        raise RefusedModel("the file is not ONNX: it cannot be decoded") from error
    if not model.graph.node:
        raise RefusedModel("the file is not ONNX: it has no graph")
    _check_domains(model)
    for tensor in _tensors(model.graph):
        _check_tensor(tensor)
    try:
        onnx.checker.check_model(model, full_check=False)
    except onnx.checker.ValidationError as error:
        raise RefusedModel(f"the ONNX checker refuses the model: {error}") from error


def check_kind(data: bytes) -> None:
    """Refuse by the first bytes what is no plain ONNX file: nothing of it is loaded for that."""
    if len(data) > LARGEST_MODEL:
        raise RefusedModel(f"the file has {len(data):,} bytes, more than {LARGEST_MODEL:,}")
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        raise RefusedModel("the file is a pickle (or joblib): loading one runs its code, only ONNX is accepted")
    if data[:4] == b"PK\x03\x04":
        raise RefusedModel("the file is a zip archive (numpy, torch or keras): only ONNX is accepted")
    if data[:2] in (b"\x1f\x8b", b"BZ", b"\x78\x9c", b"\x78\x01", b"\x78\xda") or data[:6] == b"\xfd7zXZ\x00":
        raise RefusedModel("the file is compressed (a joblib dump?): only plain ONNX is accepted")
    if data[:5] == b"tree\n":
        raise RefusedModel("the file is a LightGBM text model: only ONNX is accepted")


def _check_domains(model: Any) -> None:
    if model.functions:
        raise RefusedModel("the model brings its own functions")
    domains = {opset.domain for opset in model.opset_import} | {node.domain for node in _nodes(model.graph)}
    unknown = sorted(domains.difference(DOMAINS))
    if unknown:
        raise RefusedModel(f"the model uses the unknown operator domain {unknown[0]!r}")


def _check_tensor(tensor: Any) -> None:
    if tensor.data_location == 1 or tensor.external_data:  # TensorProto.EXTERNAL
        raise RefusedModel(f"the tensor {tensor.name!r} keeps its data outside the file")
    values = 1
    for size in tensor.dims:
        values *= size
    if max(values, tensor.ByteSize()) > LARGEST_TENSOR:
        raise RefusedModel(f"the tensor {tensor.name!r} is larger than {LARGEST_TENSOR:,} bytes")


def _nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)
