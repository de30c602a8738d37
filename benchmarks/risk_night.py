"""A night of hosts at risk for a million entities, against the 99.9 % quantile of each one's stored history in pandas.

Both get the same day: 3 % of the entities have a value. pandas keeps what a quantile needs, the values of 60 days as
rows; the night keeps 40 counts an entity. Seconds without loading; memory is the peak of a process of its own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np

ENTITIES = int(os.environ.get("ETALON_BENCH_ENTITIES", "1000000"))
DAYS = 60
SHARE = 0.03
LIMIT = 5.0  # seconds, DESIGN.md ("Speed")


def rows() -> list[dict[str, Any]]:
    ours, theirs = _apart("ours"), _apart("pandas")
    name = f"night of hosts at risk, {ENTITIES:,} entities"
    return [
        _row(f"{name}, seconds", ours["seconds"], "pandas: groupby quantile of 60 days' values", theirs["seconds"]),
        _row(f"{name}, seconds", ours["seconds"], "limit, s", LIMIT),
        _row(
            f"{name}, with file read and written, s", ours["with_files"], "pandas, from Parquet", theirs["with_files"]
        ),
        _row(f"{name}, peak memory, MB", ours["megabytes"], "pandas", theirs["megabytes"]),
    ]


def _row(name: str, ours: float, against: str, theirs: float) -> dict[str, Any]:
    """Return a row in which less is better."""
    ratio = theirs / ours
    return {
        "name": name, "ours": ours, "against": against, "theirs": theirs, "ratio": ratio, "target": ">= 1",
        "holds": ratio >= 1,
    }  # fmt: skip


def _apart(which: str) -> dict[str, float]:
    """Measure one side in a process of its own."""
    command = [sys.executable, "-c", f"from benchmarks import risk_night; risk_night.{which}()"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    answer: dict[str, float] = json.loads(told.splitlines()[-1])
    return answer


def ours() -> None:
    """Measure our side; prints JSON."""
    import tempfile

    import django
    from django.conf import settings

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": round(seconds, 3), "with_files": round(with_files, 3), "megabytes": round(peak)}))
