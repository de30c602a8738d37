"""One answer: from a parsed EVE record to the verdict, one session a call, one thread, silent models off."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import numpy as np

from appliance.scorer import BundleScorer
from benchmarks.python_features import PythonFeatures
from benchmarks.real_model import RealModel, real_model
from detection.contract import encode, session_columns
from detection.scoring import features
from detection.sources.suricata import session_row
from detection.thresholds import raw_threshold

WINDOWS, CALLS, THEIR_CALLS, COLD_CALLS = 5, 2000, 400, 300
AGAINST = "same features in Python + Booster.predict"
Answer = Callable[[dict[str, Any]], Any]


def rows() -> list[dict[str, Any]]:
    return [row for protocol in ("http", "tls") for row in _rows(protocol)]


def _rows(protocol: str) -> list[dict[str, Any]]:
    model = real_model(protocol)
    python = PythonFeatures(model.contract)
    ours, theirs = _ours(model), _theirs(model, python)
    _check(model, python)
    warm = _warm(model, ours, theirs)
    cold = [_percentiles(_times(answer, model.records, COLD_CALLS, cold=True)) for answer in (ours, theirs)]
    name = f"one {protocol} answer"
    return [
        _row(f"{name}, warm p50, us", warm[0][0], warm[1][0], target=50.0, times=2.0),
        _row(f"{name}, warm p99, us", warm[0][1], warm[1][1], target=100.0, times=2.0),
        _row(f"{name}, cold p50, us", cold[0][0], cold[1][0]),
        _row(f"{name}, cold p99, us", cold[0][1], cold[1][1]),
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

    def answer(record: dict[str, Any]) -> bool:
        values = np.array([python(session_row(record))], dtype=np.float32)
        return bool(model.booster.predict(values, raw_score=True, num_threads=1)[0] >= limit)

    return answer


def _check(model: RealModel, python: PythonFeatures) -> None:
    """Both sides must do the same work: all but strings that overlap themselves are equal."""
    sessions = [session_row(record) for record in model.records[:500]]
    graph = features(model.contract, encode(model.contract, session_columns(sessions)))
    theirs = np.array([python(session) for session in sessions], dtype=np.float32)
    equal = np.isclose(graph, theirs, rtol=1e-6, equal_nan=True).mean()
    if equal < 0.999:
        raise RuntimeError(f"the Python features are others: {equal:.4f} equal")


def _warm(model: RealModel, ours: Answer, theirs: Answer) -> list[list[float]]:
    """Median window of both sides, taken in turns: another job on the machine then slows both."""
    _times(ours, model.records, 500)
    windows = [
        (
            _percentiles(_times(ours, model.records, CALLS)),
            _percentiles(_times(theirs, model.records, THEIR_CALLS)),
        )
        for _ in range(WINDOWS)
    ]
    return np.median(np.array(windows), axis=0).tolist()


def _times(answer: Answer, records: list[dict[str, Any]], calls: int, *, cold: bool = False) -> list[int]:
    dirt = np.ones(2**20)  # 8 MB, read before each call, so that caches are empty
    times = []
    for record in islice(cycle(records), calls):
        if cold:
            dirt.sum()
        start = time.perf_counter_ns()
        answer(record)
        times.append(time.perf_counter_ns() - start)
    return times


def _percentiles(times: list[int]) -> list[float]:
    return (np.percentile(np.array(times), [50, 99]) / 1000).tolist()
