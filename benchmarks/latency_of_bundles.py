"""One answer of bundles of 1 to 8 models, small and large, silent models on and off, caches warm and cold.

From the parsed EVE record to the verdict, one session a call, one thread. Beside it: the same features in Python and
`Booster.predict` per model, M separate sessions of the runtime, and a graph that does nothing at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper

from appliance.records import model_row
from appliance.scorer import BundleScorer
from benchmarks.latency import Answer, _percentiles, _times
from benchmarks.python_features import PythonFeatures
from benchmarks.real_model import RealModel, bundle_of, real_model
from detection.contract import encode_row
from detection.graph import FLOAT, IR_VERSION, OPSET, tensor
from detection.scoring import open_session
from detection.sources.suricata import session_row

SIZES = ((100, 31), (300, 63))
MODELS = (1, 2, 4, 8)
WINDOWS, CALLS, SLOW_CALLS, COLD_CALLS = 5, 2000, 100, 150
BUDGET = 100.0  # us, p99 of the median window: one to four models of 100x31 with silent ones off
IDENTITY = "a graph of one Identity"


def rows() -> list[dict[str, Any]]:
    floor = _median(_identity(), real_model("http", *SIZES[0]).records, CALLS)
    return [row for size in SIZES for count in MODELS for row in _rows(size, count, floor)]


def _rows(size: tuple[int, int], count: int, floor: list[float]) -> list[dict[str, Any]]:
    found = real_model("http", *size)
    name = f"{count} x {size[0]}x{size[1]}"
    loud = _scorer(bundle_of([found.version] * count))
    answer = _answers(loud)
    warm, records = _median(answer, found.records, CALLS), found.records
    cold = _percentiles(_times(answer, records, COLD_CALLS, cold=True))
    python = _median(_in_python(found, count), records, SLOW_CALLS)
    apart = _median(_apart(found, count), records, CALLS // 4)
    is_promised = size == SIZES[0] and count <= 4
    told = [
        _row(f"{name}, warm p50, us", warm[0], "features in Python + Booster.predict", python[0]),
        _row(f"{name}, warm p99, us", warm[1], "M separate sessions", apart[1], BUDGET if is_promised else None),
        _row(f"{name}, cold p50, us", cold[0], IDENTITY, floor[0]),
        _row(f"{name}, cold p99, us", cold[1], IDENTITY, floor[1]),
    ]
    if count > 1:
        half = _scorer(bundle_of([found.version] * count, silent=count // 2))
        off = _median(_answers(half), records, CALLS // 2)
        on = _median(_answers(half, run_silent=True), records, CALLS // 2)
        told.append(_row(f"{name}, half silent and off, p50, us", off[0], "silent models on", on[0]))
    return told


def _row(name: str, ours: float, against: str, theirs: float, target: float | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "ours": ours,
        "against": against,
        "theirs": theirs,
        "ratio": theirs / ours,
        "target": None if target is None else f"< {target:g}",
        "holds": target is None or ours < target,
    }


def _scorer(bundle: bytes) -> BundleScorer:
    return BundleScorer(bundle, hashlib.sha256(bundle).hexdigest())


def _answers(scorer: BundleScorer, *, run_silent: bool = False) -> Answer:
    return lambda record: scorer.score(record, run_silent=run_silent)


def _in_python(found: RealModel, count: int) -> Answer:
    python = PythonFeatures(found.contract)

    def answer(record: dict[str, Any]) -> list[float]:
        values = np.array([python(session_row(record))], dtype=np.float32)
        return [found.booster.predict(values, raw_score=True, num_threads=1)[0] for _number in range(count)]

    return answer


def _apart(found: RealModel, count: int) -> Answer:
    sessions = [open_session(found.version, single_rows=True) for _number in range(count)]

    def answer(record: dict[str, Any]) -> list[Any]:
        feed = encode_row(found.contract, model_row(record))
        return [session.run(["raw"], feed)[0] for session in sessions]

    return answer


def _identity() -> Answer:
    node = helper.make_node("Identity", ["a"], ["b"])
    graph = helper.make_graph([node], "nothing", [tensor("a", FLOAT, [1, 8])], [tensor("b", FLOAT, [1, 8])])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    session = open_session(proto.SerializeToString(), single_rows=True)
    feed = {"a": np.zeros((1, 8), dtype=np.float32)}
    return lambda _record: session.run(["b"], feed)


def _median(answer: Callable[[dict[str, Any]], Any], records: list[dict[str, Any]], calls: int) -> list[float]:
    """Return p50 and p99 of the median window."""
    _times(answer, records, min(calls, 300))
    windows = [_percentiles(_times(answer, records, calls)) for _number in range(WINDOWS)]
    return [float(value) for value in np.median(np.array(windows), axis=0)]
