"""A night of hosts at risk for a million entities, against the 99.9 % quantile of each one's stored history in pandas.

Both get the same day: 3 % of the entities have a value. pandas keeps what a quantile needs, the values of 60 days as
rows; the night keeps 40 counts an entity. Files are made before by a process of their own; each side then runs TIMES in
turns, every time in a new process, whose peak of memory is its own. Without loading: what the pass itself adds."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._house import called_apart, less_is_better, peak, prepare_django

ENTITIES = int(os.environ.get("ETALON_BENCH_ENTITIES", "1000000"))
FOLDER = "ETALON_BENCH_FOLDER"
DAYS = 60
SHARE = 0.03
TIMES = 3
LIMIT = 5.0  # seconds, DESIGN.md ("Speed")
SIDES = ("ours", "pandas")


def rows() -> list[dict[str, Any]]:
    told: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder:
        os.environ[FOLDER] = folder
        called_apart("risk_night", "prepare")
        for _ in range(TIMES):
            for side in SIDES:
                told[side].append(called_apart("risk_night", side))
    ours, theirs = (
        {name: statistics.median(one[name] for one in told[side]) for name in told[side][0]} for side in SIDES
    )
    night, quantile = f"night of hosts at risk, {ENTITIES:,} entities", "pandas: groupby quantile of 60 days' values"
    return [
        less_is_better(f"{night}, seconds", ours["seconds"], quantile, theirs["seconds"]),
        less_is_better(f"{night}, seconds", ours["seconds"], "limit, s", LIMIT),
        less_is_better(f"{night}, with file read and written, s", ours["whole"], "pandas, Parquet", theirs["whole"]),
        less_is_better(f"{night}, peak memory with loading, MB", ours["peak"], "pandas, Parquet", theirs["peak"]),
        less_is_better(f"{night}, memory of the pass alone, MB", ours["added"], quantile, theirs["added"]),
    ]


def prepare() -> None:
    """Write what both sides load: histories as counts, histories as rows, and the day."""
    states = _states()
    import pandas as pd

    from detection import adaptive

    random = np.random.default_rng(1)
    entities = adaptive.Entities.fresh(ENTITIES, 1)
    parts = []
    for period in range(1, DAYS + 1):
        active, values = _day(random)
        entities.add(active, period, values, clip=False)
        parts.append(pd.DataFrame({"entity": active, "day": period, "v": values}))
    entities.threshold[:] = 5.0
    digest = states.put("state.arrow", entities)
    pd.concat(parts, ignore_index=True).to_parquet(_folder() / "history.parquet")
    active, values = _day(random)
    surprises = random.exponential(3.0, int(ENTITIES * SHARE))
    np.savez(_folder() / "day.npz", active=active, values=values, surprises=surprises, digest=digest)
    print(json.dumps({}))


def ours() -> None:
    """Measure our side; prints JSON."""
    states = _states()
    from detection import adaptive

    day = np.load(_folder() / "day.npz")
    active, values = day["active"], day["values"]
    calibration = adaptive.Calibration.fresh()
    for _ in range(28):
        calibration = calibration.added(day["surprises"], ENTITIES)
    began = time.perf_counter()
    loaded = states.get("state.arrow", str(day["digest"]))
    _measure(
        began,
        lambda: adaptive.night(loaded, calibration, DAYS + 1, active, values, budget=5.0),
        lambda: states.put("next.arrow", loaded),
    )


def pandas() -> None:
    """Measure what a user would write first; prints JSON."""
    import pandas as pd

    day = np.load(_folder() / "day.npz")
    today = pd.DataFrame({"entity": day["active"], "day": DAYS + 1, "v": day["values"]})
    began = time.perf_counter()
    loaded = pd.read_parquet(_folder() / "history.parquet")

    def alerts() -> Any:
        thresholds = loaded.groupby("entity")["v"].quantile(0.999)
        return today[today["v"].to_numpy() > thresholds.reindex(today["entity"]).to_numpy()]

    _measure(began, alerts, lambda: pd.concat([loaded, today]).to_parquet(_folder() / "next.parquet"))


def _measure(began: float, work: Callable[[], Any], write: Callable[[], Any]) -> None:
    """Do the pass and write its file; print seconds and megabytes as JSON. `began`: before loading."""
    before_peak = peak()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is what is held now, proc(5)
    held = peak()
    start = time.perf_counter()
    work()
    after = time.perf_counter()
    added = peak() - held
    write()
    ended = time.perf_counter()
    told = {"seconds": after - start, "whole": ended - began, "peak": max(before_peak, peak()), "added": added}
    print(json.dumps({name: round(value, 3) for name, value in told.items()}))


def _day(random: np.random.Generator) -> tuple[Any, Any]:
    active = np.flatnonzero(random.random(ENTITIES) < SHARE)
    return active, random.exponential(1.0, len(active)) + 0.01


def _folder() -> Path:
    return Path(os.environ[FOLDER])


def _states() -> Any:
    from django.conf import settings

    prepare_django()
    settings.ETALON_STORAGE = f"file://{_folder()}"
    from triage.services.risk import states

    return states
