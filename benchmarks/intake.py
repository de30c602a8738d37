"""Intake: lines in → parsed, joined, digested, raw lines kept, scored by one 300x31 model, stored. One core.

Measured in a process of its own with an empty database and store, pinned to one core, in CPU seconds (other work on the
machine does not count), in rounds that alternate with what it is compared with; a figure is the median of its rounds.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.traffic_files import ROOT, is_session, real_lines, repeated

ROUNDS = 5
COPIES = 6  # of the shared logs: 120,000 lines
STORED_BY_ORM = 20_000  # lines are enough: its rate hardly falls with the size of the table
PARSER = "orjson.loads of the same lines"

Rate = Callable[[], float]


def rows() -> list[dict[str, Any]]:
    """Return one row per kind of log and per store it is compared with; nothing without the shared traffic."""
    with tempfile.TemporaryDirectory(prefix="etalon-bench-") as folder:
        environment = os.environ | {
            "ETALON_DEVELOPMENT": "1",
            "DATABASE_URL": f"sqlite:///{folder}/bench.sqlite3",
            "ETALON_STORAGE": f"file://{folder}/storage",
            "ETALON_BENCH_FOLDER": folder,
        }
        command = [sys.executable, "-m", "benchmarks.intake"]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
    measured: list[dict[str, Any]] = json.loads(done.stdout)
    return measured


def measure() -> list[dict[str, Any]]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    real = real_lines()
    mixed = list(repeated(real, COPIES))
    sessions = list(repeated([line for line in real if is_session(line)], 2 * COPIES))
    chain = Chain(mixed)
    chain.rate(mixed)  # the first reading also loads the model
    plain: list[float] = []
    ratio = _against_parser
    measured = [
        ratio("plain mixed log", mixed, lambda: chain.rate(mixed), 0.35, plain),
        ratio("gzip mixed log", mixed, lambda: chain.rate(mixed, zipped=True), 0.25, []),
        ratio("every line a session", sessions, lambda: chain.rate(sessions), 0.18, []),
    ]
    ours = statistics.median(plain)
    measured += [
        _against_store("sqlite3 INSERT of every line, 5 indexes", ours, lambda: sqlite_rate(mixed), 4),
        _against_store(
            "Django bulk_create(1000) of every line, 5 indexes",
            ours,
            lambda: bulk_create_rate(mixed[:STORED_BY_ORM]),
            8,
        ),
    ]
    return measured


def _against_parser(name: str, lines: Sequence[bytes], rate: Rate, target: float, rates: list[float]) -> dict[str, Any]:
    pairs = [(rate(), parser_rate(lines)) for _ in range(ROUNDS)]
    rates += [ours for ours, _ in pairs]
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return _row(f"intake, {name}, lines/s", ours, PARSER, theirs, ratio, target)


def _against_store(name: str, ours: float, rate: Rate, target: float) -> dict[str, Any]:
    theirs = statistics.median(rate() for _ in range(3))
    return _row("intake, plain mixed log, lines/s", ours, name, theirs, ours / theirs, target)


def _row(name: str, ours: float, against: str, theirs: float, ratio: float, target: float) -> dict[str, Any]:
    return {
        "name": name,
        "ours": round(ours),
        "against": against,
        "theirs": round(theirs),
        "ratio": round(ratio, 3),
        "target": target,
        "holds": ratio >= target,
    }


def parser_rate(lines: Sequence[bytes]) -> float:
    began = time.process_time()
    for line in lines:
        orjson.loads(line)
    return len(lines) / (time.process_time() - began)


class Chain:
    """The product's own path: `ingest_stream`, then `score_waiting` for one version of 300 trees with 31 leaves."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        from django.core.management import call_command

        from traffic.services import rule_sets

        call_command("migrate", verbosity=0)
        self._sensor = rule_sets.sensor_named("bench")
        self._number = 0
        self._keep_version(lines)

    def rate(self, lines: Sequence[bytes], *, zipped: bool = False) -> float:
        from models_registry.services.scoring import score_waiting
        from traffic.models import Segment
        from traffic.services.ingest import ingest_stream

        self._number += 1
        fresh = b"\n" + b" " * self._number  # other bytes: the same ones would be refused as a duplicate
        data = b"\n".join(lines) + fresh
        stream = io.BytesIO(gzip.compress(data) if zipped else data)
        before = Segment.objects.count()
        began = time.process_time()
        told = ingest_stream(stream, f"bench-{self._number}.json", self._sensor)
        scored = score_waiting()
        seconds = time.process_time() - began
        assert told.sessions
        assert scored == Segment.objects.count() - before
        return len(lines) / seconds

    def _keep_version(self, lines: Sequence[bytes]) -> None:
        import hashlib

        from models_registry.models import Detector, RuleMappingVersion, Stage, TrainingSet, Version
        from traffic import storage

        detector = Detector.objects.create(name="bench")
        mapping = {"categories": ["Web Application Attack"]}
        RuleMappingVersion.objects.create(detector=detector, number=1, mapping=mapping, digest="0" * 64)
        training_set = TrainingSet.objects.create(detector=detector, number=1, digest="0" * 64, path="none", rows=1)
        model = made_model(lines)
        Version.objects.create(
            detector=detector,
            number=1,
            training_set=training_set,
            contract="http-1",
            onnx_path="bench.onnx",
            onnx_digest=storage.put_bytes("bench.onnx", model),
            text_path="",
            text_digest=hashlib.sha256(b"").hexdigest(),
            threshold=0.7,
            stage=Stage.SILENT,
        )


def made_model(lines: Sequence[bytes]) -> bytes:
    """Return a model of 300 full trees over real sessions; what it says is of no interest here."""
    import lightgbm
    import numpy as np

    from detection.contract import contract_for, encode
    from detection.scoring import features
    from detection.sources.suricata_reader import Reader
    from detection.trees import build_version_model

    contract = contract_for("http")
    columns = next(iter(Reader(io.BytesIO(b"\n".join(lines))))).columns
    columns = {name: values[:8_000] for name, values in columns.items()}
    table = features(contract, encode(contract, columns))
    labels = np.random.default_rng(7).integers(0, 2, len(table))
    parameters = {
        "objective": "binary",
        "num_leaves": 31,
        "min_data_in_leaf": 5,
        "verbose": -1,
        "num_threads": 1,
        "seed": 7,
    }
    booster = lightgbm.train(parameters, lightgbm.Dataset(table, labels), num_boost_round=300)
    return build_version_model(contract, booster.dump_model(), {})


# --- what people do without Etalon: one row per line

_FIELDS = ("timestamp", "flow_id", "event_type", "src_ip", "dest_ip", "host", "url", "status", "signature_id")
_INDEXED = ("timestamp", "flow_id", "src_ip", "host", "signature_id")


def _values(line: bytes) -> tuple[Any, ...]:
    record = orjson.loads(line)
    http, alert = record.get("http") or {}, record.get("alert") or {}
    told = record | {"host": http.get("hostname"), "url": http.get("url"), "status": http.get("status")}
    told["signature_id"] = alert.get("signature_id")
    return (*(told.get(name) for name in _FIELDS), line.decode("utf-8", "replace"))


def sqlite_rate(lines: Sequence[bytes]) -> float:
    """One INSERT per line, a commit every 1,000, write-ahead log: SQLite as its friends use it."""
    path = Path(os.environ["ETALON_BENCH_FOLDER"]) / "rows.sqlite3"
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
    database.execute(f"CREATE TABLE record (id INTEGER PRIMARY KEY, {', '.join(_FIELDS)}, raw)")
    for name in _INDEXED:
        database.execute(f"CREATE INDEX record_{name} ON record ({name})")
    insert = f"INSERT INTO record ({', '.join(_FIELDS)}, raw) VALUES ({', '.join('?' * (len(_FIELDS) + 1))})"
    began = time.process_time()
    for number, line in enumerate(lines, start=1):
        database.execute(insert, _values(line))
        if number % 1000 == 0:
            database.commit()
    database.commit()
    rate = len(lines) / (time.process_time() - began)
    database.close()
    return rate


def bulk_create_rate(lines: Sequence[bytes]) -> float:
    """Django objects in bulks of 1,000, the quickest way the ORM has."""
    from django.db import connection

    model = _record_model()
    with connection.schema_editor() as editor:
        editor.create_model(model)
    names = (*_FIELDS, "raw")
    began = time.process_time()
    for first in range(0, len(lines), 1000):
        batch = [model(**dict(zip(names, _values(line), strict=True))) for line in lines[first : first + 1000]]
        model.objects.bulk_create(batch)
    rate = len(lines) / (time.process_time() - began)
    with connection.schema_editor() as editor:
        editor.delete_model(model)
    return rate


def _record_model() -> Any:
    from django.apps import apps
    from django.db import models

    known = apps.all_models["traffic"].get("benchrecord")
    if known is not None:
        return known
    numbers = {"flow_id", "status", "signature_id"}
    fields: dict[str, Any] = {
        name: models.BigIntegerField(null=True, db_index=name in _INDEXED)
        if name in numbers
        else models.TextField(null=True, db_index=name in _INDEXED)
        for name in _FIELDS
    }
    meta = type("Meta", (), {"app_label": "traffic"})
    return type(
        "BenchRecord", (models.Model,), {**fields, "raw": models.TextField(), "Meta": meta, "__module__": __name__}
    )


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    print(json.dumps(measure()))
