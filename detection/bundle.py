"""Bundles: several versions of detectors of one protocol as one ONNX file, with thresholds, silent flags and receipts.

The file answers alone: bytes and numbers in, verdicts out. Verdicts compare raw sums with raw thresholds; `scores` are
for display. The same configuration and members give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
import yaml
from onnx import helper

from detection.contract import METADATA_PREFIX, Contract, encode_row
from detection.features import FEATURES, feature_inputs
from detection.graph import BOOL, DOUBLE, INT64, GraphWriter, model, tensor, to_bytes
from detection.scoring import open_session, parse_metadata
from detection.sessions import Row
from detection.thresholds import raw_threshold
from detection.trees import RAW

FLOW_INDEX, N_FLOWS, RUN_SILENT = "flow_index", "n_flows", "run_silent"
SCORES, ABOVE, VERDICT, FLOW_ABOVE, FLOW_VERDICT = "scores", "above", "verdict", "flow_above", "flow_verdict"
AGGREGATIONS = ("max",)
CACHE_LEAVES = 40_000  # about what 2 MB of second-level cache hold
KEYS = ("registry_name", "version", "threshold", "is_silent", "aggregation")
REQUIRED = KEYS[:4]
RECEIPT = f"{METADATA_PREFIX}latency"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class ConfigError(ValueError):
    """The configuration is wrong in one line; the message begins with it."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


class BundleError(ValueError):
    """The members cannot be one bundle."""


class BundleTooLarge(UserWarning):
    """The trees of the bundle do not fit the second-level cache of one core."""


# The configuration


@dataclass(frozen=True, slots=True)
class ConfigEntry:
    """One version in the bundle."""

    registry_name: str
    version: int
    threshold: float
    is_silent: bool
    aggregation: str = "max"
    line: int = 0


def parse_config(text: str) -> tuple[ConfigEntry, ...]:
    """Return the entries of a `build_config.yml`, in order."""
    entries = tuple(_entry(node) for node in _model_nodes(_compose(text)))
    _check_doubles(entries)
    return entries


def _compose(text: str) -> yaml.MappingNode:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(mark.line + 1 if mark else 1, f"no YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(line, f"no YAML: {error.reason}") from error
    except RecursionError as error:
        raise ConfigError(1, "no YAML that ends: nested too deeply") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(_line(root) if root else 1, "expected `models:` with a list of entries")
    return root


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _model_nodes(root: yaml.MappingNode) -> list[yaml.Node]:
    items = _mapping(root, ("models",))
    if "models" not in items:
        raise ConfigError(_line(root), "expected `models:` with a list of entries")
    models = items["models"]
    if not isinstance(models, yaml.SequenceNode) or not models.value:
        raise ConfigError(_line(models), "`models` is a list with at least one entry")
    return list(models.value)


def _mapping(node: yaml.Node, allowed: Sequence[str]) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(_line(node), f"expected an entry with the keys {', '.join(allowed)}")
    items: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
        if name not in allowed:
            raise ConfigError(_line(key), f"unknown key {name!r}; known are {', '.join(allowed)}")
        if name in items:
            raise ConfigError(_line(key), f"the key {name!r} stands here twice")
        items[name] = value
    return items


def _entry(node: yaml.Node) -> ConfigEntry:
    items = _mapping(node, KEYS)
    missing = [key for key in REQUIRED if key not in items]
    if missing:
        raise ConfigError(_line(node), f"{missing[0]} is missing")
    return ConfigEntry(
        registry_name=_registry_name(items["registry_name"]),
        version=_version(items["version"]),
        threshold=_threshold(items["threshold"]),
        is_silent=_is_silent(items["is_silent"]),
        aggregation=_aggregation(items["aggregation"]) if "aggregation" in items else "max",
        line=_line(node),
    )


def _scalar(node: yaml.Node, what: str) -> tuple[str, str]:
    if not isinstance(node, yaml.ScalarNode):
        raise ConfigError(_line(node), f"{what}, not a list or mapping")
    return str(node.value), str(node.tag).rpartition(":")[2]


def _registry_name(node: yaml.Node) -> str:
    value, tag = _scalar(node, "registry_name is a name")
    if tag != "str" or not _NAME.fullmatch(value):
        raise ConfigError(_line(node), f"registry_name is a name of letters, digits, dots and dashes, not {value!r}")
    return value


def _version(node: yaml.Node) -> int:
    value, tag = _scalar(node, "version is a number from 1")
    if tag != "int" or not re.fullmatch(r"[1-9][0-9]{0,8}", value):
        raise ConfigError(_line(node), f"version is a whole number from 1, not {value!r}")
    return int(value)


def _threshold(node: yaml.Node) -> float:
    value, tag = _scalar(node, "threshold is a number above 0 and below 1")
    try:
        number = float(value) if tag in ("int", "float") else float("nan")
    except ValueError:
        number = float("nan")
    if not 0.0 < number < 1.0:
        raise ConfigError(_line(node), f"threshold is a number above 0 and below 1, not {value!r}")
    return number


def _is_silent(node: yaml.Node) -> bool:
    value, tag = _scalar(node, 'is_silent is true, false, "true" or "false"')
    if tag not in ("bool", "str") or value not in ("true", "false"):
        raise ConfigError(_line(node), f'is_silent is true, false, "true" or "false", not {value!r}')
    return value == "true"


def _aggregation(node: yaml.Node) -> str:
    value, _ = _scalar(node, f"aggregation is one of {', '.join(AGGREGATIONS)}")
    if value not in AGGREGATIONS:
        raise ConfigError(_line(node), f"aggregation is one of {', '.join(AGGREGATIONS)}, not {value!r}")
    return value


def _check_doubles(entries: Sequence[ConfigEntry]) -> None:
    seen: dict[tuple[str, int], int] = {}
    loud: dict[str, int] = {}
    for entry in entries:
        key = (entry.registry_name, entry.version)
        if key in seen:
            first = seen[key]
            raise ConfigError(entry.line, f"{entry.registry_name} version {entry.version} stands in line {first} too")
        seen[key] = entry.line
        if entry.is_silent:
            continue
        if entry.registry_name in loud:
            first = loud[entry.registry_name]
            raise ConfigError(
                entry.line, f"{entry.registry_name} has a second version that is not silent (line {first})"
            )
        loud[entry.registry_name] = entry.line


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
        _constants(proto.graph, trees),
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
    raw = _write_raw(graph, parts, features)
    _write_answers(graph, [member.entry for member in members], raw)
    leaves = sum(part.leaves for part in parts)
    notes = _notes(leaves)
    for note in notes:
        warnings.warn(note, BundleTooLarge, stacklevel=2)
    properties = _properties(parts, contract, config_text, min_product_version, leaves, notes, ledger or {})
    proto = model([graph], _inputs(contract), _outputs(members), properties)
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
            _graft(graph, part.block, part.block_constants, prefix, inputs)
            features[part.block_digest] = f"{prefix}/{FEATURES}"
    return features


def _write_raw(graph: GraphWriter, parts: Sequence[_Part], features: Mapping[str, str]) -> str:
    """Write the trees, silent ones behind `If(run_silent)`; return the raw sums [N, M] in the members' order."""
    loud = [number for number, part in enumerate(parts) if not part.member.entry.is_silent]
    silent = [number for number, part in enumerate(parts) if part.member.entry.is_silent]
    columns = [_write_trees(graph, parts[number], number, features) for number in loud]
    if silent:
        columns.append(_write_silent(graph, [(number, parts[number]) for number in silent], features))
    raw = columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)
    order = [(loud + silent).index(number) for number in range(len(parts))]
    return raw if order == sorted(order) else graph.add("Gather", raw, graph.ints(*order), axis=1)


def _write_trees(graph: GraphWriter, part: _Part, number: int, features: Mapping[str, str]) -> str:
    prefix = f"model{number}"
    _graft(graph, part.trees, part.tree_constants, prefix, {FEATURES: features[part.block_digest]})
    return f"{prefix}/{RAW}"


def _write_silent(graph: GraphWriter, parts: Sequence[tuple[int, _Part]], features: Mapping[str, str]) -> str:
    run = GraphWriter("silent")
    columns = [_write_trees(run, part, number, features) for number, part in parts]
    sums = run.add("Concat", *columns, axis=1)
    skip = GraphWriter("skipped")
    rows = skip.add("Shape", features[parts[0][1].block_digest], end=1)
    shape = skip.add("Concat", rows, skip.ints(len(parts)), axis=0)
    nothing = skip.add("Expand", skip.constant(np.array([[np.nan]])), shape)
    branches = {"then_branch": _branch(run, sums, len(parts)), "else_branch": _branch(skip, nothing, len(parts))}
    return graph.add("If", RUN_SILENT, **branches)


def _branch(writer: GraphWriter, output: str, width: int) -> onnx.GraphProto:
    value = tensor(output, DOUBLE, ["N", width])
    return helper.make_graph(writer.nodes, writer.prefix, [], [value], initializer=list(writer.constants.values()))


def _write_answers(graph: GraphWriter, entries: Sequence[ConfigEntry], raw: str) -> None:
    thresholds = graph.constant(np.array([[raw_threshold(entry.threshold) for entry in entries]]))
    graph.name(graph.add("Sigmoid", raw), SCORES)
    graph.name(graph.add("GreaterOrEqual", raw, thresholds), ABOVE)
    _write_verdict(graph, entries, ABOVE, VERDICT)
    shape = graph.add("Concat", N_FLOWS, graph.ints(len(entries)), axis=0)
    nothing = graph.add("Expand", graph.constant(np.array([[-np.inf]])), shape)
    largest = graph.add("ScatterND", nothing, FLOW_INDEX, raw, reduction="max")
    graph.name(graph.add("GreaterOrEqual", largest, thresholds), FLOW_ABOVE)
    _write_verdict(graph, entries, FLOW_ABOVE, FLOW_VERDICT)


def _write_verdict(graph: GraphWriter, entries: Sequence[ConfigEntry], above: str, verdict: str) -> None:
    # a detector has one loud version at most: its column; without one the verdict is false
    detectors = detector_names(entries)
    loud = {entry.registry_name: number for number, entry in enumerate(entries) if not entry.is_silent}
    columns = [loud.get(name, 0) for name in detectors]
    is_whole = columns == list(range(len(entries)))
    chosen = above if is_whole else graph.add("Gather", above, graph.ints(*columns), axis=1)
    if all(name in loud for name in detectors):
        graph.name(graph.add("Identity", chosen), verdict)
    else:
        spoken = graph.constant(np.array([[name in loud for name in detectors]]))
        graph.name(graph.add("And", chosen, spoken), verdict)


def _inputs(contract: Contract) -> list[onnx.ValueInfoProto]:
    return [
        *feature_inputs(contract),
        tensor(FLOW_INDEX, INT64, ["N", 1]),
        tensor(N_FLOWS, INT64, [1]),
        tensor(RUN_SILENT, BOOL, []),
    ]


def _outputs(members: Sequence[Member]) -> list[onnx.ValueInfoProto]:
    models, detectors = len(members), len(detector_names([member.entry for member in members]))
    return [
        tensor(SCORES, DOUBLE, ["N", models]),
        tensor(ABOVE, BOOL, ["N", models]),
        tensor(VERDICT, BOOL, ["N", detectors]),
        tensor(FLOW_ABOVE, BOOL, ["S", models]),
        tensor(FLOW_VERDICT, BOOL, ["S", detectors]),
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


def read_metadata(onnx_bytes: bytes) -> dict[str, Any]:
    """Return what a bundle or version says about itself, by short keys."""
    proto = onnx.load_from_string(onnx_bytes)
    return parse_metadata({item.key: item.value for item in proto.metadata_props})


def with_receipt(bundle_bytes: bytes, receipt: Mapping[str, Any]) -> bytes:
    """Return the bundle with its latency receipt inside: another file, for a release."""
    proto = onnx.load_from_string(bundle_bytes)
    kept = [(item.key, item.value) for item in proto.metadata_props if item.key != RECEIPT]
    del proto.metadata_props[:]
    for key, value in sorted([*kept, (RECEIPT, _json(dict(receipt)))]):
        proto.metadata_props.add(key=key, value=value)
    return to_bytes(proto)


# The latency receipt


def measure_latency(
    bundle_bytes: bytes, rows: Sequence[Row], *, windows: int = 5, calls: int = 2000, cold_calls: int = 200
) -> dict[str, Any]:
    """Return microseconds from a session row to the verdict: one row a call, one thread, silent models off.

    `warm` has the p50 and p99 of each window; `cold` reads 8 MB before each call, so that caches are empty.
    """
    session = open_session(bundle_bytes, single_rows=True)
    contract = Contract.from_json(session.get_modelmeta().custom_metadata_map[f"{METADATA_PREFIX}contract"])
    answer = _answerer(session, contract)
    _time_calls(answer, rows, min(calls, 500), None)
    warm = [_percentiles(_time_calls(answer, rows, calls, None)) for _ in range(windows)]
    cold = _percentiles(_time_calls(answer, rows, cold_calls, np.ones(2**20)))
    p99s = sorted(window["p99"] for window in warm)
    return {
        "warm": warm,
        "cold": cold,
        "p50": sorted(window["p50"] for window in warm)[len(warm) // 2],
        "p99": p99s[len(p99s) // 2],
        "unit": "us",
        "from": "session row",
        "windows": windows,
        "calls": calls,
        "threads": 1,
        "cpu": cpu_name(),
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "python": platform.python_version(),
    }


def _answerer(session: Any, contract: Contract) -> Any:
    def answer(row: Row) -> Any:
        return session.run([VERDICT], encode_row(contract, row))[0]

    return answer


def _time_calls(answer: Any, rows: Sequence[Row], calls: int, dirt: Any) -> list[int]:
    times = []
    for row in _round_robin(rows, calls):
        if dirt is not None:
            dirt.sum()
        start = time.perf_counter_ns()
        answer(row)
        times.append(time.perf_counter_ns() - start)
    return times


def _round_robin(rows: Sequence[Row], calls: int) -> Iterator[Row]:
    for number in range(calls):
        yield rows[number % len(rows)]


def _percentiles(times: Sequence[int]) -> dict[str, float]:
    p50, p99 = np.percentile(np.array(times), [50, 99]) / 1000
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1)}


def cpu_name() -> str:
    """Return the name of the processor a receipt was made on."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = Counter(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        return names.most_common(1)[0][0] if names else platform.processor()
    except OSError:
        return platform.processor()
