"""A night of hosts at risk for a million entities, against the 99.9 % quantile of each one's stored history in pandas.

Both get the same day: 3 % of the entities have a value. pandas keeps what a quantile needs, the values of 60 days as
rows; the night keeps 40 counts an entity. Seconds without loading; memory is the peak of a process of its own."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import numpy as np

from benchmarks._house import called_apart, less_is_better, peak, prepare_django

ENTITIES = int(os.environ.get("ETALON_BENCH_ENTITIES", "1000000"))
DAYS = 60
SHARE = 0.03
LIMIT = 5.0  # seconds, DESIGN.md ("Speed")


def rows() -> list[dict[str, Any]]:
    ours, theirs = called_apart("risk_night", "ours"), called_apart("risk_night", "pandas")
    name = f"night of hosts at risk, {ENTITIES:,} entities"
    return [
        less_is_better(
            f"{name}, seconds", ours["seconds"], "pandas: groupby quantile of 60 days' values", theirs["seconds"]
        ),
        less_is_better(f"{name}, seconds", ours["seconds"], "limit, s", LIMIT),
        less_is_better(
            f"{name}, with file read and written, s", ours["with_files"], "pandas, from Parquet", theirs["with_files"]
        ),
        less_is_better(f"{name}, peak memory, MB", ours["megabytes"], "pandas", theirs["megabytes"]),
    ]


def ours() -> None:
    """Measure our side; prints JSON."""
    import tempfile

    from django.conf import settings

    prepare_django()
    from detection import adaptive
    from triage.services.risk import states

    random = np.random.default_rng(1)
    entities = adaptive.Entities.fresh(ENTITIES, 1)
    for period in range(1, DAYS + 1):
        active = np.flatnonzero(random.random(ENTITIES) < SHARE)
        entities.add(active, period, random.exponential(1.0, len(active)) + 0.01, clip=False)
    entities.threshold[:] = 5.0
    calibration = adaptive.Calibration.fresh()
    for _ in range(28):
        calibration = calibration.added(random.exponential(3.0, int(ENTITIES * SHARE)), ENTITIES)
    active = np.flatnonzero(random.random(ENTITIES) < SHARE)
    values = random.exponential(1.0, len(active)) + 0.01
    with tempfile.TemporaryDirectory() as folder:
        settings.ETALON_STORAGE = f"file://{folder}"
        digest = states.put("state.arrow", entities)
        began = time.perf_counter()
        loaded = states.get("state.arrow", digest)
        middle = time.perf_counter()
        adaptive.night(loaded, calibration, DAYS + 1, active, values, budget=5.0)
        after = time.perf_counter()
        states.put("next.arrow", loaded)
        ended = time.perf_counter()
    _tell(after - middle, ended - began)


def pandas() -> None:
    """Measure what a user would write first; prints JSON."""
    import tempfile

    import pandas as pd

    random = np.random.default_rng(1)
    parts = []
    for period in range(1, DAYS + 1):
        active = np.flatnonzero(random.random(ENTITIES) < SHARE)
        parts.append(pd.DataFrame({"entity": active, "day": period, "v": random.exponential(1.0, len(active)) + 0.01}))
    history = pd.concat(parts, ignore_index=True)
    with tempfile.TemporaryDirectory() as folder:
        history.to_parquet(f"{folder}/history.parquet")
        began = time.perf_counter()
        loaded = pd.read_parquet(f"{folder}/history.parquet")
        middle = time.perf_counter()
        thresholds = loaded.groupby("entity")["v"].quantile(0.999)
        today = parts[-1]
        alerts = today[today["v"].to_numpy() > thresholds.reindex(today["entity"]).to_numpy()]
        after = time.perf_counter()
        pd.concat([loaded, today]).to_parquet(f"{folder}/next.parquet")
        ended = time.perf_counter()
    assert len(alerts) < len(today)
    _tell(after - middle, ended - began)


def _tell(seconds: float, with_files: float) -> None:
    print(json.dumps({"seconds": round(seconds, 3), "with_files": round(with_files, 3), "megabytes": round(peak())}))
