"""Bundles: several versions of detectors of one protocol as one ONNX file, with thresholds and silent flags.

The file answers alone: bytes and numbers in, verdicts out. Verdicts compare raw sums with raw thresholds; `scores` are
for display. The same configuration and members give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper

from detection.bundle_config import ConfigEntry
from detection.contract import METADATA_PREFIX, Contract
from detection.features import FEATURES, feature_inputs, feature_specs
from detection.graph import BOOL, DOUBLE, FLOAT, INT64, GraphWriter, model, tensor, to_bytes
from detection.scoring import parse_metadata
from detection.thresholds import raw_threshold
from detection.trees import RAW, ROWS

FLOW_INDEX, N_FLOWS, RUN_SILENT = "flow_index", "n_flows", "run_silent"
SCORES, ABOVE, VERDICT, FLOW_ABOVE, FLOW_VERDICT = "scores", "above", "verdict", "flow_above", "flow_verdict"
CACHE_LEAVES = 40_000  # about what 2 MB of second-level cache hold
RECEIPT = f"{METADATA_PREFIX}latency"


class BundleError(ValueError):
    """The members cannot be one bundle."""


class BundleTooLarge(UserWarning):
    """The trees of the bundle do not fit the second-level cache of one core."""


# The members


@dataclass(frozen=True, slots=True)
class Member:
    """One version with what the bundle says about it."""

    entry: ConfigEntry
    onnx_bytes: bytes
    text_digest: str
    training_set_digest: str
    protocol: str
    positive_class: str
    rule_mapping: Mapping[str, Any] = field(default_factory=dict)
    mapping_digest: str = ""
    snapshot_digest: str = ""
    gate_report_digest: str = ""


@dataclass(frozen=True)
class _Part:
    """A member, taken apart: its feature block and its trees."""

    member: Member
    contract: Contract
    block: tuple[onnx.NodeProto, ...]
    block_constants: tuple[onnx.TensorProto, ...]
    trees: tuple[onnx.NodeProto, ...]
    tree_constants: tuple[onnx.TensorProto, ...]
    leaves: int

    @property
    def block_digest(self) -> str:
        digest = hashlib.sha256()
        for message in (*self.block, *self.block_constants):
            digest.update(message.SerializeToString(deterministic=True))
        return digest.hexdigest()


def _take_apart(member: Member) -> _Part:
    title = f"{member.entry.registry_name} version {member.entry.version}"
    proto = onnx.load_from_string(member.onnx_bytes)
    properties = {item.key: item.value for item in proto.metadata_props}
    if f"{METADATA_PREFIX}contract" not in properties:
        raise BundleError(f"{title}: the model names no feature contract")
    names = [name for node in proto.graph.node for name in node.output]
    if FEATURES not in names or RAW not in names:
        raise BundleError(f"{title}: the model has no outputs {FEATURES!r} and {RAW!r}")
    block, trees = _ancestors(proto.graph, FEATURES, set()), _ancestors(proto.graph, RAW, {FEATURES})
    leaves = sum(
        len(attribute.ints) for node in trees for attribute in node.attribute if attribute.name == "leaf_targetids"
    )
    return _Part(
        member,
        Contract.from_json(properties[f"{METADATA_PREFIX}contract"]),
        block,
        _constants(proto.graph, block),
        trees,
        (*_constants(proto.graph, trees), *(one for one in proto.graph.initializer if one.name == ROWS)),
        leaves,
    )


def _ancestors(graph: onnx.GraphProto, output: str, stop: set[str]) -> tuple[onnx.NodeProto, ...]:
    needed, nodes = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(name for name in node.input if name not in stop)
    return tuple(reversed(nodes))


def _constants(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> tuple[onnx.TensorProto, ...]:
    used = {name for node in nodes for name in node.input}
    return tuple(constant for constant in graph.initializer if constant.name in used)


def _graft(
    target: GraphWriter,
    nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto],
    prefix: str,
    known: Mapping[str, str],
) -> None:
    """Copy nodes into a graph under a prefix; `known` gives names that stay or are renamed."""
    names = dict(known)
    for constant in constants:
        names[constant.name] = f"{prefix}/{constant.name}"
        copy = onnx.TensorProto()
        copy.CopyFrom(constant)
        copy.name = names[constant.name]
        target.constants[copy.name] = copy
    for node in nodes:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        names.update({name: names.get(name, f"{prefix}/{name}") for name in node.output})
        copied.name = f"{prefix}/{node.name}"
        copied.input[:] = [names.get(name, name) for name in node.input]
        copied.output[:] = [names[name] for name in node.output]
        target.nodes.append(copied)


# The graph


def build_bundle(
    members: Sequence[Member],
    *,
    config_text: str,
    min_product_version: str = "",
    ledger: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the bundle of these members, columns in their order; `ledger` names the entry it rests on."""
    parts = [_take_apart(member) for member in members]
    contract = _common_contract(parts)
    graph = GraphWriter("bundle")
    features = _write_blocks(graph, parts, contract)
    raw, spoken = _write_raw(graph, parts, features)
    _write_answers(graph, [member.entry for member in members], raw, spoken)
    leaves = sum(part.leaves for part in parts)
    notes = _notes(leaves)
    for note in notes:
        warnings.warn(note, BundleTooLarge, stacklevel=2)
    properties = _properties(parts, contract, config_text, min_product_version, leaves, notes, ledger or {})
    proto = model([graph], _inputs(contract), _outputs(members, contract), properties)
    _add_defaults(proto)
    onnx.checker.check_model(proto, full_check=True)
    return to_bytes(proto)


def detector_names(entries: Sequence[ConfigEntry]) -> list[str]:
    """Return the detectors of a bundle: the columns of `verdict`, in order of first mention."""
    return list(dict.fromkeys(entry.registry_name for entry in entries))


def _common_contract(parts: Sequence[_Part]) -> Contract:
    if not parts:
        raise BundleError("a bundle has at least one version")
    protocols = sorted({part.member.protocol for part in parts})
    if len(protocols) > 1:
        raise BundleError(f"all versions of a bundle read the same protocol, these read {' and '.join(protocols)}")
    contracts = {part.contract.digest: part.contract for part in parts}
    if len(contracts) > 1:
        names = " and ".join(sorted(contract.id for contract in contracts.values()))
        raise BundleError(f"all versions of a bundle read the same feature contract, these read {names}: retrain one")
    contract = parts[0].contract
    if contract.name != protocols[0]:
        raise BundleError(f"the detector reads {protocols[0]}, its version was trained on {contract.name}")
    return contract


def _write_blocks(graph: GraphWriter, parts: Sequence[_Part], contract: Contract) -> dict[str, str]:
    """Write each different feature block once; return the name of its features by block digest."""
    inputs = {value.name: value.name for value in feature_inputs(contract)}
    features: dict[str, str] = {}
    for part in parts:
        if part.block_digest not in features:
            prefix = f"block{len(features)}"
            # the first one's numbers are an output too: kits hand them out, and who does not ask does not wait
            name = f"{prefix}/{FEATURES}" if features else FEATURES
            _graft(graph, part.block, part.block_constants, prefix, {**inputs, FEATURES: name})
            features[part.block_digest] = name
    return features


def _write_raw(graph: GraphWriter, parts: Sequence[_Part], features: Mapping[str, str]) -> tuple[str, list[str]]:
    """Write the trees, silent ones behind `If(run_silent)`.

    Return the raw sums [N, M] in the members' order, and each loud model's own [N, 1]."""
    loud = [number for number, part in enumerate(parts) if not part.member.entry.is_silent]
    silent = [number for number, part in enumerate(parts) if part.member.entry.is_silent]
    spoken = [_write_trees(graph, parts[number], number, features) for number in loud]
    columns = list(spoken)
    if silent:
        columns.append(_write_silent(graph, [(number, parts[number]) for number in silent], features, spoken))
    raw = columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)
    order = [(loud + silent).index(number) for number in range(len(parts))]
    return raw if order == sorted(order) else graph.add("Gather", raw, graph.ints(*order), axis=1), spoken


def _write_trees(graph: GraphWriter, part: _Part, number: int, features: Mapping[str, str]) -> str:
    prefix = f"model{number}"
    _graft(graph, part.trees, part.tree_constants, prefix, {FEATURES: features[part.block_digest]})
    return f"{prefix}/{RAW}"


def _write_silent(
    graph: GraphWriter, parts: Sequence[tuple[int, _Part]], features: Mapping[str, str], spoken: Sequence[str]
) -> str:
    run = GraphWriter("silent")
    columns = [_write_trees(run, part, number, features) for number, part in parts]
    sums = columns[0] if len(columns) == 1 else run.add("Concat", *columns, axis=1)
    skip = GraphWriter("skipped")
    nan = skip.constant(np.full((1, len(parts)), np.nan))
    if spoken:  # one node: a loud model's sums give the rows
        nothing = skip.add("Mul", spoken[0], nan)
    else:
        rows = skip.add("Shape", features[parts[0][1].block_digest], end=1)
        nothing = skip.add("Expand", nan, skip.add("Concat", rows, skip.ints(len(parts)), axis=0))
    branches = {"then_branch": _branch(run, sums, len(parts)), "else_branch": _branch(skip, nothing, len(parts))}
    return graph.add("If", RUN_SILENT, **branches)


def _branch(writer: GraphWriter, output: str, width: int) -> onnx.GraphProto:
    value = tensor(output, DOUBLE, ["N", width])
    return helper.make_graph(writer.nodes, writer.prefix, [], [value], initializer=list(writer.constants.values()))


def _write_answers(graph: GraphWriter, entries: Sequence[ConfigEntry], raw: str, spoken: Sequence[str]) -> None:
    thresholds = graph.constant(np.array([[raw_threshold(entry.threshold) for entry in entries]]))
    graph.name(graph.add("Sigmoid", raw), SCORES)
    graph.name(graph.add("GreaterOrEqual", raw, thresholds), ABOVE)
    _write_verdict(graph, entries, raw, spoken)
    shape = graph.add("Concat", N_FLOWS, graph.ints(len(entries)), axis=0)
    nothing = graph.add("Expand", graph.constant(np.array([[-np.inf]])), shape)
    largest = graph.add("ScatterND", nothing, FLOW_INDEX, raw, reduction="max")
    graph.name(graph.add("GreaterOrEqual", largest, thresholds), FLOW_ABOVE)
    _compare_loud(graph, entries, largest, FLOW_VERDICT)


def _write_verdict(graph: GraphWriter, entries: Sequence[ConfigEntry], raw: str, spoken: Sequence[str]) -> None:
    """Compare the loud sums alone: who asks for the verdict waits for no silent model."""
    if not spoken:
        return _compare_loud(graph, entries, raw, VERDICT)
    names = [entry.registry_name for entry in entries if not entry.is_silent]
    by_name = dict(zip(names, spoken, strict=True))
    columns = [by_name.get(name, spoken[0]) for name in detector_names(entries)]
    if len(columns) == 1:
        sums = columns[0]
    else:
        sums = raw if len(entries) == len(spoken) == len(columns) else graph.add("Concat", *columns, axis=1)
    graph.name(graph.add("GreaterOrEqual", sums, _loud_thresholds(graph, entries)), VERDICT)
    return None


def _compare_loud(graph: GraphWriter, entries: Sequence[ConfigEntry], sums: str, verdict: str) -> None:
    loud = {entry.registry_name: number for number, entry in enumerate(entries) if not entry.is_silent}
    columns = [loud.get(name, 0) for name in detector_names(entries)]
    chosen = sums if columns == list(range(len(entries))) else graph.add("Gather", sums, graph.ints(*columns), axis=1)
    graph.name(graph.add("GreaterOrEqual", chosen, _loud_thresholds(graph, entries)), verdict)


def _loud_thresholds(graph: GraphWriter, entries: Sequence[ConfigEntry]) -> str:
    # a detector has one loud version at most; without one its verdict is false: nothing reaches NaN
    loud = {entry.registry_name: raw_threshold(entry.threshold) for entry in entries if not entry.is_silent}
    return graph.constant(np.array([[loud.get(name, np.nan) for name in detector_names(entries)]]))


def _inputs(contract: Contract) -> list[onnx.ValueInfoProto]:
    return [
        *feature_inputs(contract),
        tensor(FLOW_INDEX, INT64, ["N", 1]),
        tensor(N_FLOWS, INT64, [1]),
        tensor(RUN_SILENT, BOOL, []),
    ]


def _outputs(members: Sequence[Member], contract: Contract) -> list[onnx.ValueInfoProto]:
    models, detectors = len(members), len(detector_names([member.entry for member in members]))
    return [
        tensor(SCORES, DOUBLE, ["N", models]),
        tensor(ABOVE, BOOL, ["N", models]),
        tensor(VERDICT, BOOL, ["N", detectors]),
        tensor(FLOW_ABOVE, BOOL, ["S", models]),
        tensor(FLOW_VERDICT, BOOL, ["S", detectors]),
        tensor(FEATURES, FLOAT, ["N", len(feature_specs(contract))]),
    ]


def _add_defaults(proto: onnx.ModelProto) -> None:
    # one session, one flow, silent models off: what a single answer asks; each input left out saves time
    defaults = {FLOW_INDEX: np.zeros((1, 1), np.int64), N_FLOWS: np.ones(1, np.int64), RUN_SILENT: np.array(False)}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in defaults.items())


# What the bundle says about itself


def _properties(
    parts: Sequence[_Part],
    contract: Contract,
    config_text: str,
    min_product_version: str,
    leaves: int,
    notes: Sequence[str],
    ledger: Mapping[str, Any],
) -> dict[str, str]:
    models = [_model_properties(part.member, part.leaves) for part in parts]
    values: dict[str, Any] = {
        "config_digest": _sha256(config_text.encode()),
        "contract": json.loads(contract.to_json()),
        "contract_digest": contract.digest,
        "detectors": _detector_properties([part.member for part in parts]),
        "ledger": dict(ledger),
        "leaves": str(leaves),
        "min_product_version": min_product_version,
        "models": models,
        "warnings": list(notes),
    }
    values["bundle"] = _sha256(_json(values).encode())
    return {
        f"{METADATA_PREFIX}{key}": value if isinstance(value, str) else _json(value) for key, value in values.items()
    }


def _model_properties(member: Member, leaves: int) -> dict[str, Any]:
    entry = member.entry
    return {
        "registry_name": entry.registry_name,
        "version": entry.version,
        "threshold": entry.threshold,
        "raw_threshold": raw_threshold(entry.threshold),
        "is_silent": entry.is_silent,
        "aggregation": entry.aggregation,
        "leaves": leaves,
        "onnx_digest": _sha256(member.onnx_bytes),
        "text_digest": member.text_digest,
        "training_set_digest": member.training_set_digest,
        "snapshot_digest": member.snapshot_digest,
        "gate_report_digest": member.gate_report_digest,
    }


def _detector_properties(members: Sequence[Member]) -> list[dict[str, Any]]:
    detectors: dict[str, dict[str, Any]] = {}
    for member in members:
        said = {
            "registry_name": member.entry.registry_name,
            "protocol": member.protocol,
            "positive_class": member.positive_class,
            "rule_mapping": dict(member.rule_mapping),
            "mapping_digest": member.mapping_digest,
        }
        if detectors.setdefault(member.entry.registry_name, said) != said:
            raise BundleError(f"the versions of {member.entry.registry_name} disagree about their detector")
    return list(detectors.values())


def _notes(leaves: int) -> list[str]:
    if leaves <= CACHE_LEAVES:
        return []
    return [
        f"{leaves:,} leaves are more than the {CACHE_LEAVES:,} that fit the cache of one core: mind the latency receipt"
    ]


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def with_receipt(bundle_bytes: bytes, receipt: Mapping[str, Any]) -> bytes:
    """Return the bundle with its latency receipt inside: another file, for a release."""
    proto = onnx.load_from_string(bundle_bytes)
    kept = [(item.key, item.value) for item in proto.metadata_props if item.key != RECEIPT]
    del proto.metadata_props[:]
    for key, value in sorted([*kept, (RECEIPT, _json(dict(receipt)))]):
        proto.metadata_props.add(key=key, value=value)
    return to_bytes(proto)


def read_metadata(onnx_bytes: bytes) -> dict[str, Any]:
    """Return what a bundle or version says about itself, by short keys."""
    proto = onnx.load_from_string(onnx_bytes)
    return parse_metadata({item.key: item.value for item in proto.metadata_props})
