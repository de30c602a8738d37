"""Latency receipts: what one answer of a bundle costs on this machine, warm and with empty caches."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
import onnxruntime

from detection.contract import METADATA_PREFIX, Contract
from detection.sessions import Row
from detection.single_rows import BoundRows, RowWriter, open_answers

WARM_UP = 500  # calls before the first window
DIRT = 2**20  # doubles: 8 MB


def measure_latency(
    bundle_bytes: bytes, rows: Sequence[Row], *, windows: int = 5, calls: int = 2000, cold_calls: int = 200
) -> dict[str, Any]:
    """Return microseconds from a session row to the verdict: one row a call, one thread, silent models off.

    `warm` has the p50 and p99 of each window; `cold` reads 8 MB before each call, so that caches are empty.
    """
    answer = _answerer(bundle_bytes)
    _time_calls(answer, rows, min(calls, WARM_UP))
    warm = [_percentiles(_time_calls(answer, rows, calls)) for _ in range(windows)]
    cold = _percentiles(_time_calls(answer, rows, cold_calls, cold=True))
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


def _answerer(bundle_bytes: bytes) -> Callable[[Row], None]:
    session = open_answers(bundle_bytes, "verdict")
    contract = Contract.from_json(session.get_modelmeta().custom_metadata_map[f"{METADATA_PREFIX}contract"])
    [detectors] = (one.shape[1] for one in session.get_outputs() if one.name == "verdict")
    return BoundRows(session, RowWriter(contract), {"verdict": np.zeros((1, detectors), dtype=np.bool_)}).run


def _time_calls(answer: Callable[[Row], None], rows: Sequence[Row], calls: int, *, cold: bool = False) -> list[int]:
    """Return nanoseconds of each call, the rows in turn; `cold` reads other memory before each."""
    dirt, times = np.ones(DIRT if cold else 1), []
    for row in islice(cycle(rows), calls):
        dirt.sum()
        start = time.perf_counter_ns()
        answer(row)
        times.append(time.perf_counter_ns() - start)
    return times


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
