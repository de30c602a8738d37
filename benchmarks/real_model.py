"""A model of the size of the promises (300 trees of 31 leaves) over the shared real sessions, for benchmarks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import lightgbm
import numpy as np
import orjson

from benchmarks.traffic_files import is_session, real_lines
from detection.bundle import BundleTooLarge, Member, build_bundle
from detection.bundle_config import ConfigEntry
from detection.contract import Contract, Inputs, contract_for, encode, session_columns
from detection.scoring import Scorer, features
from detection.sessions import Row
from detection.sources.suricata import flow_end, session_row
from detection.trees import build_version_model

TREES, LEAVES = 300, 31
TRAINING_ROWS = 20_000


@dataclass(frozen=True)
class RealModel:
    contract: Contract
    records: list[dict[str, Any]]
    flows: list[dict[str, Any] | None]  # how the flow of each ended, where the protocol is judged by it
    inputs: Inputs
    booster: lightgbm.Booster
    scorer: Scorer
    bundle: bytes
    version: bytes


@lru_cache(maxsize=4)
def real_model(protocol: str = "http", trees: int = TREES, leaves: int = LEAVES) -> RealModel:
    """Return sessions and a model of flows with rule hits; a tenth of wrong labels keeps the trees full."""
    contract = contract_for(protocol)
    records, hit_flows, ends = [], set(), {}
    for line in real_lines():
        if is_session(line, protocol):
            records.append(orjson.loads(line))
        elif b'"event_type":"alert"' in line[:600]:
            hit_flows.add(orjson.loads(line).get("flow_id"))
        elif protocol == "tls" and b'"event_type":"flow"' in line[:600]:
            end = orjson.loads(line)
            ends[end["flow_id"]] = end
    flows = [ends.get(record["flow_id"]) for record in records]
    inputs = encode(contract, session_columns([whole_row(*one) for one in zip(records, flows, strict=True)]))
    draw = np.random.default_rng(1)
    chosen = draw.integers(0, len(records), TRAINING_ROWS)
    label = np.array([record["flow_id"] in hit_flows for record in records])[chosen]
    label ^= draw.random(TRAINING_ROWS) < 0.1
    parameters = {"objective": "binary", "num_leaves": leaves, "min_data_in_leaf": 5, "verbose": -1, "seed": 1}
    data = lightgbm.Dataset(features(contract, inputs)[chosen], label.astype(int))
    booster = lightgbm.train(parameters, data, trees)
    version = build_version_model(contract, booster.dump_model(), {})
    bundle = bundle_of([version], protocol)
    return RealModel(contract, records, flows, inputs, booster, Scorer(version), bundle, version)


def whole_row(record: dict[str, Any], flow: dict[str, Any] | None = None) -> Row:
    """Return the session of a record, with the end of its flow where there is one."""
    return session_row(record) | ({} if flow is None else flow_end(flow))


def bundle_of(versions: Sequence[bytes], protocol: str = "http", *, silent: int = 0) -> bytes:
    """Return one bundle of these versions, each of a detector of its own; the last `silent` of them silent."""
    members = [
        Member(
            ConfigEntry(f"web-{number}", 1, 0.5, number >= len(versions) - silent), one, "", "", protocol, "malicious"
        )
        for number, one in enumerate(versions)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BundleTooLarge)  # the sizes are the point
        return build_bundle(members, config_text="")
