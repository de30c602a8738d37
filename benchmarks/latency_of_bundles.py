"""One answer of bundles of 1 to 8 models, small and large, silent models on and off, caches warm and cold.

From the parsed EVE record to the verdict, one session a call, one thread. Beside it: the same features in Python and
`Booster.predict` per model, M separate sessions of the runtime, and a graph that does nothing at all, the floor of any
answer by this runtime. All sides are measured in turns, so that other work on the machine slows each alike."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from onnx import helper

from appliance.records import model_row
from appliance.scorer import BundleScorer
from benchmarks.latency import Answer, Sessions, windows
from benchmarks.python_features import PythonFeatures
from benchmarks.real_model import RealModel, bundle_of, real_model
from detection.graph import FLOAT, IR_VERSION, OPSET, tensor
from detection.scoring import open_session
from detection.single_rows import RowWriter
from detection.sources.suricata import session_row

SIZES = ((100, 31), (300, 63))
MODELS = (1, 2, 4, 8)
WINDOWS, CALLS, COLD_WINDOWS, COLD_CALLS = 15, 600, 5, 100
BUDGET = 100.0  # us, p99 of the median window: one to four models of 100x31 with silent ones off
PYTHON, APART, FLOOR = "features in Python + Booster.predict", "M separate sessions", "a graph of one Identity"
Times = dict[str, tuple[float, float]]  # p50 and p99 of each side


def rows() -> list[dict[str, Any]]:
    return [row for size in SIZES for count in MODELS for row in _rows(size, count)]


def _rows(size: tuple[int, int], count: int) -> list[dict[str, Any]]:
    found = real_model("http", *size)
    sides: dict[str, Answer] = {
        "all": _scorer(found, count).score,
        PYTHON: _in_python(found, count),
        APART: _apart(found, count),
        FLOOR: _identity(),
    }
    if count > 1:
        half = _scorer(found, count, silent=count // 2)
        sides |= {"off": half.score, "on": lambda record: half.score(record, run_silent=True)}
    name = f"{count} x {size[0]}x{size[1]}"
    budget = BUDGET if size == SIZES[0] and count <= 4 else None
    sessions: Sessions = [(record,) for record in found.records]
    fewer = {side: CALLS // (10 if side == PYTHON else 1) for side in sides}
    windows(sides, sessions, 1, fewer)
    warm = windows(sides, sessions, WINDOWS, fewer)
    cold = windows(sides, sessions, COLD_WINDOWS, dict.fromkeys(sides, COLD_CALLS), cold=True)
    return [*_told(f"{name}, warm", warm, budget), *_told(f"{name}, cold", cold, None)]


def _told(name: str, times: Times, budget: float | None) -> list[dict[str, Any]]:
    told = [
        _row(f"{name} p50, us", times, "all", PYTHON, 0),
        _row(f"{name} p99, us", times, "all", PYTHON, 1, budget),
        _row(f"{name} p50, us", times, "all", APART, 0),
        _row(f"{name} p50, us", times, "all", FLOOR, 0),
    ]
    if "off" in times:
        told += [_row(f"{name}, half silent and off, {which}, us", times, "off", "on", at) for at, which in _FIGURES]
    return told


_FIGURES = ((0, "p50"), (1, "p99"))


def _row(name: str, times: Times, ours: str, theirs: str, at: int, budget: float | None = None) -> dict[str, Any]:
    own, other = times[ours][at], times[theirs][at]
    return {
        "name": name,
        "ours": own,
        "against": "silent models on" if theirs == "on" else theirs,
        "theirs": other,
        "ratio": other / own,
        "target": None if budget is None else f"< {budget:g}",
        "holds": budget is None or own < budget,
    }


# The sides


def _scorer(found: RealModel, count: int, silent: int = 0) -> BundleScorer:
    bundle = bundle_of([found.version] * count, silent=silent)
    return BundleScorer(bundle, hashlib.sha256(bundle).hexdigest())


def _in_python(found: RealModel, count: int) -> Answer:
    python = PythonFeatures(found.contract)

    def answer(record: dict[str, Any]) -> list[float]:
        values = np.array([python(session_row(record))], dtype=np.float32)
        return [found.booster.predict(values, raw_score=True, num_threads=1)[0] for _number in range(count)]

    return answer


def _apart(found: RealModel, count: int) -> Answer:
    sessions = [open_session(found.version, single_rows=True) for _number in range(count)]
    writer = RowWriter(found.contract)

    def answer(record: dict[str, Any]) -> list[Any]:
        feed = writer.feed(model_row(record))
        return [session.run(["raw"], feed)[0] for session in sessions]

    return answer


def _identity() -> Answer:
    node = helper.make_node("Identity", ["a"], ["b"])
    graph = helper.make_graph([node], "nothing", [tensor("a", FLOAT, [1, 8])], [tensor("b", FLOAT, [1, 8])])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    session = open_session(proto.SerializeToString(), single_rows=True)
    feed = {"a": np.zeros((1, 8), dtype=np.float32)}
    return lambda _record: session.run(["b"], feed)
