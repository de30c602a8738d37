"""One answer: from a parsed EVE record to the verdict, one session a call, one thread, silent models off.

A TLS session comes with the record of its flow's end, as it does at a customer. Windows are short and many, both sides
in turns, each going on in the traffic where it stopped: what else the machine does falls into some of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from itertools import cycle, islice
from typing import Any

import numpy as np

from appliance.scorer import BundleScorer
from benchmarks.python_features import PythonFeatures
from benchmarks.real_model import RealModel, real_model, whole_row
from detection.contract import encode, session_columns
from detection.scoring import features
from detection.thresholds import raw_threshold

WINDOWS, CALLS, THEIR_CALLS = 25, 600, 60
COLD_WINDOWS, COLD_CALLS = 5, 100
WARM_UP = 1500
AGAINST = "same features in Python + Booster.predict"
Answer = Callable[..., Any]
Sessions = list[tuple[Any, ...]]  # what an answer is called with


def rows() -> list[dict[str, Any]]:
    return [row for protocol in ("http", "tls") for row in _rows(protocol)]


def _rows(protocol: str) -> list[dict[str, Any]]:
    model = real_model(protocol)
    python = PythonFeatures(model.contract)
    ours, theirs = _ours(model), _theirs(model, python)
    _check(model, python)
    sides = {"ours": ours, "theirs": theirs}
    sessions: Sessions = list(zip(model.records, model.flows, strict=True))
    _times(ours, sessions, WARM_UP)
    warm = windows(sides, sessions, WINDOWS, {"ours": CALLS, "theirs": THEIR_CALLS})
    cold = windows(sides, sessions, COLD_WINDOWS, dict.fromkeys(sides, COLD_CALLS), cold=True)
    name = f"one {protocol} answer"
    return [
        _row(f"{name}, warm p50, us", warm["ours"][0], warm["theirs"][0], target=50.0, times=2.0),
        _row(f"{name}, warm p99, us", warm["ours"][1], warm["theirs"][1], target=100.0, times=2.0),
        _row(f"{name}, cold p50, us", cold["ours"][0], cold["theirs"][0]),
        _row(f"{name}, cold p99, us", cold["ours"][1], cold["theirs"][1]),
    ]


def _row(name: str, ours: float, theirs: float, *, target: float | None = None, times: float = 0.0) -> dict[str, Any]:
    wanted = None if target is None else f"< {target:g}, {times:g}x"
    holds = target is None or (ours < target and theirs / ours >= times)
    ratio = theirs / ours
    sides = {"name": name, "ours": ours, "against": AGAINST, "theirs": theirs}
    return sides | {"ratio": ratio, "target": wanted, "holds": holds}


def _ours(model: RealModel) -> Answer:
    return BundleScorer(model.bundle, hashlib.sha256(model.bundle).hexdigest()).score


def _theirs(model: RealModel, python: PythonFeatures) -> Answer:
    limit = raw_threshold(0.5)

    def answer(record: dict[str, Any], flow: dict[str, Any] | None) -> bool:
        values = np.array([python(whole_row(record, flow))], dtype=np.float32)
        return bool(model.booster.predict(values, raw_score=True, num_threads=1)[0] >= limit)

    return answer


def _check(model: RealModel, python: PythonFeatures) -> None:
    """Both sides must do the same work: all but strings that overlap themselves are equal."""
    sessions = [whole_row(*one) for one in list(zip(model.records, model.flows, strict=True))[:500]]
    graph = features(model.contract, encode(model.contract, session_columns(sessions)))
    theirs = np.array([python(session) for session in sessions], dtype=np.float32)
    equal = np.isclose(graph, theirs, rtol=1e-6, equal_nan=True).mean()
    if equal < 0.999:
        raise RuntimeError(f"the Python features are others: {equal:.4f} equal")


def windows(
    sides: Mapping[str, Answer], sessions: Sessions, count: int, calls: Mapping[str, int], *, cold: bool = False
) -> dict[str, tuple[float, float]]:
    """Return p50 and p99 of the median window of each side, in microseconds."""
    found: dict[str, list[list[float]]] = {side: [] for side in sides}
    for number in range(count):
        for side, answer in sides.items():
            begin = number * calls[side] % len(sessions)
            found[side].append(_percentiles(_times(answer, sessions, calls[side], begin, cold=cold)))
    medians = {side: np.median(np.array(windows), axis=0) for side, windows in found.items()}
    return {side: (float(p50), float(p99)) for side, (p50, p99) in medians.items()}


def _times(answer: Answer, sessions: Sessions, calls: int, begin: int = 0, *, cold: bool = False) -> list[int]:
    dirt = np.ones(2**20)  # 8 MB, read before each call, so that caches are empty
    times = []
    for session in islice(cycle(sessions), begin, begin + calls):
        if cold:
            dirt.sum()
        start = time.perf_counter_ns()
        answer(*session)
        times.append(time.perf_counter_ns() - start)
    return times


def _percentiles(times: list[int]) -> list[float]:
    return (np.percentile(np.array(times), [50, 99]) / 1000).tolist()
