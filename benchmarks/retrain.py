"""One retrain of 100,000 rows: frozen set read, features, folds and sources, threshold, ONNX, version stored, gate run.

In seconds, against a bare LightGBM fit of the same parameters on the same matrix, which gives trees and no figure that
could be trusted. Real sessions again and again with fresh flows, two cores, a process of its own with an empty database
and store. Each step is told on standard error, by the clock and by processor time. ETALON_BENCH_ROWS: another number.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from benchmarks._clock import Took, took
from benchmarks._house import measured_apart, prepare_django
from benchmarks.traffic_files import real_lines, repeated

ROWS = int(os.environ.get("ETALON_BENCH_ROWS", 100_000))
REFERENCE = 2_000  # rows of the snapshot that the gate checks
CORES = 2
MOST = 120.0  # seconds
STEPS = {  # what a step is called in code: module and function, none inside another
    "frozen set stored": ("models_registry.services.snapshots", "receive_training_set"),
    "frozen set read": ("models_registry.services.training", "read_training_set"),
    "features": ("detection.training", "_features"),
    "bins": ("detection.training", "make_table"),
    "models: of everything, folds, sources, hosts, looks, times, learning curve": ("detection.training", "_ask"),
    "threshold": ("detection.training", "_proposal"),
    "features that know the source": ("detection.training", "features_of_the_source"),
    "complaints": ("detection.training", "complaints"),
    "ONNX": ("detection.training", "_packed"),
    "version stored": ("models_registry.services.training", "_store"),
    "gate": ("models_registry.services.gates", "run_gate"),
}


def rows() -> list[dict[str, Any]]:
    return measured_apart("retrain")


def measure() -> list[dict[str, Any]]:
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:CORES]))
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    found = _training_rows()
    ours, theirs = _retrain(found), _bare_fit(found)
    return [
        {
            "name": f"retrain on {ROWS:,} rows, gate included, {CORES} cores, s",
            "ours": round(ours.wall, 1),
            "against": "bare LightGBM fit, features ready",
            "theirs": round(theirs.wall, 1),
            "ratio": round(ours.wall / theirs.wall, 2),
            "cpu": round(ours.cpu / theirs.cpu, 2),
            "target": f"{MOST:g} s",
            "holds": ours.wall <= MOST,
        }
    ]


def _training_rows() -> Any:
    """Return rows of real sessions: positive where a rule hit, sources and groups as a house would have them."""
    import numpy as np

    from detection.sessions import COLUMN_NAMES
    from detection.sources.suricata_reader import Reader
    from detection.training_rows import TrainingRows

    columns: dict[str, list[Any]] = {name: [] for name in COLUMN_NAMES}
    real = real_lines()
    for chunk in Reader(io.BytesIO(b"\n".join(repeated(real, 60)))):
        for name in COLUMN_NAMES:
            columns[name] += chunk.columns.get(name) or [None] * len(chunk.raw)
        if len(columns["start"]) >= ROWS:
            break
    columns = {name: values[:ROWS] for name, values in columns.items()}
    assert len(columns["start"]) == ROWS
    label = np.array([bool(hits) for hits in columns["hits"]], np.int8)
    return TrainingRows(
        rows=columns,
        label=label,
        weight=np.ones(ROWS),
        source=[f"sensor-{number % 8}" for number in range(ROWS)],
        # what a house would have: one in twenty judged by a person, so that the learning curve is measured too
        origin=[
            "expert" if number % 20 == 0 else ("rule" if hit else "background") for number, hit in enumerate(label)
        ],
        group=[f"{host}|{uri}" for host, uri in zip(columns["host"], columns["uri"], strict=True)],
        key=[str(number) for number in range(ROWS)],
    )


def _retrain(found: Any) -> Took:
    from detection.training_rows import write_training_set
    from models_registry.models import Detector, RuleMappingVersion
    from models_registry.services import gates, snapshots, training

    detector = Detector.objects.create(name="bench")
    RuleMappingVersion.objects.create(detector=detector, number=1, mapping={"categories": ["x"]}, digest="0" * 64)
    data, reference, counted = write_training_set(found), *_snapshot(found)

    def retrain() -> None:
        snapshot = snapshots.receive_snapshot(detector, reference, rows=REFERENCE, counts=counted)
        version = training.train_version(snapshots.receive_training_set(detector, data, rows=ROWS, counts={}))
        gates.run_gate(version, snapshot=snapshot)

    with _told_by_step():
        return took(retrain)


@contextmanager
def _told_by_step() -> Iterator[None]:
    """Tell what each step of STEPS takes, and what is left beside them."""
    spent: dict[str, Took] = {}

    def timed(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            found: list[Any] = []
            spent[name] = took(lambda: found.append(work(*args, **kwargs)))
            return found[0]

        return run

    with ExitStack() as stack:
        for name, (module, function) in STEPS.items():
            owner = importlib.import_module(module)
            stack.enter_context(mock.patch.object(owner, function, timed(name, getattr(owner, function))))
        yield
    for name, one in spent.items():
        print(f"  {one.wall:7.1f} s, processor {one.cpu:7.1f} s  {name}", file=sys.stderr, flush=True)


def _snapshot(found: Any) -> tuple[bytes, dict[str, Any]]:
    from detection.fingerprint import shape_of, title_of
    from detection.reference import SnapshotRow, counts, write_snapshot

    chosen = []
    for number in range(REFERENCE):
        row = {name: values[number] for name, values in found.rows.items()}
        shape = shape_of(row)
        chosen.append(
            SnapshotRow(
                subject_key=str(number),
                answer="positive" if found.label[number] else "negative",
                rule_hit=bool(found.label[number]),
                role="hold-out",
                shape=shape,
                fingerprint=shape,
                host=row["src_ip"],
                day="2026-03-01",
                source="bench",
                title=title_of(row),
                row={**row, "hits": []},
            )
        )
    return write_snapshot(chosen), counts(chosen)


def _bare_fit(found: Any) -> Took:
    import lightgbm

    from detection.contract import contract_for, encode
    from detection.scoring import features
    from detection.training_policy import TrainingPolicy

    contract, policy = contract_for("http"), TrainingPolicy()
    matrix = features(contract, encode(contract, found.rows))
    parameters = {
        "objective": "binary",
        "num_leaves": policy.leaves,
        "learning_rate": policy.learning_rate,
        "min_data_in_leaf": policy.rows_per_leaf,
        "feature_fraction": policy.feature_share,
        "num_threads": CORES,
        "verbose": -1,
    }
    return took(lambda: lightgbm.train(parameters, lightgbm.Dataset(matrix, found.label), policy.trees))


if __name__ == "__main__":
    prepare_django()
    print(json.dumps(measure()))
