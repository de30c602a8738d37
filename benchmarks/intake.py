"""Intake: lines in → parsed, joined, digested, raw lines kept, scored by one 300x31 model, stored. One core.

Logs of 300 MB. Measured in a process of its own with an empty database and store, pinned to one core. What decides is
the clock on the wall: waiting for the disk is part of what a store costs, and a user waits too (SQLite waits a fifth of
its time there, the chain and the parser next to none). In each round ours is followed by all it is compared with, so
that other work on the machine slows everything; a ratio is the median of the rounds' ratios, a rate the median of its
rounds.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import sqlite3
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from benchmarks._clock import Took, ratios, took
from benchmarks._house import measured_apart, prepare_django
from benchmarks.traffic_files import is_session, real_lines, repeated

ROUNDS = 3
MIXED, SESSIONS = 18, 80  # copies of the shared logs, of their sessions: 310 and 300 MB
STORED_BY_ORM = 20_000  # lines are enough: its rate hardly falls with the size of the table
PARSER = "orjson.loads of the same lines"
SQLITE = "sqlite3 INSERT of every line, 5 indexes"
ORM = "Django bulk_create(1000) of every line, 5 indexes"

Lines = Sequence[bytes]
Work = Callable[[], Took]


class Other(NamedTuple):
    """What ours is compared with."""

    name: str
    lines: int
    work: Work
    target: float


def rows() -> list[dict[str, Any]]:
    """Return one row per kind of log and per store it is compared with; nothing without the shared traffic."""
    return measured_apart("intake")


def measure() -> list[dict[str, Any]]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    real = real_lines()
    chain = Chain(real)
    chain.took(real)  # the first reading also loads the model
    found = _mixed(chain, list(repeated(real, MIXED)))
    sessions = list(repeated([line for line in real if is_session(line)], SESSIONS))
    others = [_parser(sessions, 0.18)]
    return found + _compared("every line a session", len(sessions), partial(chain.took, sessions), others)


def _mixed(chain: Chain, lines: Lines) -> list[dict[str, Any]]:
    few = lines[:STORED_BY_ORM]
    stores = [
        Other(SQLITE, len(lines), partial(sqlite_took, lines), 4),
        Other(ORM, len(few), partial(bulk_create_took, few), 8),
    ]
    plain = _compared("plain mixed log", len(lines), partial(chain.took, lines), [_parser(lines, 0.35), *stores])
    packed = gzip.compress(b"\n".join(lines), 6)
    zipped = _compared("gzip mixed log", len(lines), partial(chain.took, packed), [_parser(lines, 0.25)])
    return plain + zipped


def _parser(lines: Lines, target: float) -> Other:
    return Other(PARSER, len(lines), partial(parser_took, lines), target)


def _compared(name: str, lines: int, ours: Work, others: Sequence[Other]) -> list[dict[str, Any]]:
    rounds = []
    for _ in range(ROUNDS):
        rounds.append([_per_line(ours(), lines), *(_per_line(other.work(), other.lines) for other in others)])
    found = []
    for place, other in enumerate(others, start=1):
        pairs = [(one[0], one[place]) for one in rounds]
        ratio, cpu = ratios(pairs)
        found.append(
            {
                "name": f"intake, {name}, lines/s",
                "ours": round(1 / statistics.median(mine.wall for mine, _ in pairs)),
                "against": other.name,
                "theirs": round(1 / statistics.median(theirs.wall for _, theirs in pairs)),
                "ratio": round(ratio, 3),
                "cpu": round(cpu, 3),
                "target": other.target,
                "holds": ratio >= other.target,
            }
        )
    return found


def _per_line(took: Took, lines: int) -> Took:
    return Took(took.wall / lines, took.cpu / lines)


def parser_took(lines: Lines) -> Took:
    def parse() -> None:
        for line in lines:
            orjson.loads(line)

    return took(parse)


class Chain:
    """The product's own path: `ingest_stream`, then `score_waiting` for one version of 300 trees with 31 leaves."""

    def __init__(self, lines: Lines) -> None:
        from django.core.management import call_command

        from traffic.services import rule_sets

        call_command("migrate", verbosity=0)
        self._sensor = rule_sets.sensor_named("bench")
        self._number = 0
        self._keep_version(lines)

    def took(self, log: Lines | bytes) -> Took:
        """Take in a log, lines or gzip, and score it; return the seconds."""
        from models_registry.services.scoring import score_waiting
        from traffic.models import Segment
        from traffic.services.ingest import ingest_stream

        self._number += 1
        fresh = b"\n" + b" " * self._number  # other bytes: the same ones would be refused as a duplicate
        data = log + gzip.compress(fresh) if isinstance(log, bytes) else b"\n".join(log) + fresh
        stream = io.BytesIO(data)
        del data
        http = Segment.objects.filter(protocol="http")  # the version is of HTTP; TLS sessions are stored beside it
        before, scored = http.count(), 0

        def chain() -> None:
            nonlocal scored
            assert ingest_stream(stream, f"bench-{self._number}.json", self._sensor).sessions
            scored = score_waiting()

        seconds = took(chain)
        assert scored == http.count() - before
        return seconds

    def _keep_version(self, lines: Lines) -> None:
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


def made_model(lines: Lines) -> bytes:
    """Return a model of 300 full trees over real sessions; what it says is of no interest here."""
    import lightgbm
    import numpy as np

    from detection.contract import contract_for, encode
    from detection.scoring import features
    from detection.sources.suricata_reader import Reader
    from detection.trees import build_version_model

    contract = contract_for("http")
    columns = next(chunk for chunk in Reader(io.BytesIO(b"\n".join(lines))) if chunk.protocol == "http").columns
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


def sqlite_took(lines: Lines) -> Took:
    """One INSERT per line, a commit every 1,000, write-ahead log: SQLite as its friends use it."""
    path = Path(os.environ["ETALON_VAR"]) / "rows.sqlite3"
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;")
    database.execute(f"CREATE TABLE record (id INTEGER PRIMARY KEY, {', '.join(_FIELDS)}, raw)")
    for name in _INDEXED:
        database.execute(f"CREATE INDEX record_{name} ON record ({name})")
    insert = f"INSERT INTO record ({', '.join(_FIELDS)}, raw) VALUES ({', '.join('?' * (len(_FIELDS) + 1))})"

    def store() -> None:
        for number, line in enumerate(lines, start=1):
            database.execute(insert, _values(line))
            if number % 1000 == 0:
                database.commit()
        database.commit()

    seconds = took(store)
    database.close()
    return seconds


def bulk_create_took(lines: Lines) -> Took:
    """Django objects in bulks of 1,000, the quickest way the ORM has."""
    from django.db import connection

    model = _record_model()
    with connection.schema_editor() as editor:
        editor.create_model(model)
    names = (*_FIELDS, "raw")

    def store() -> None:
        for first in range(0, len(lines), 1000):
            batch = [model(**dict(zip(names, _values(line), strict=True))) for line in lines[first : first + 1000]]
            model.objects.bulk_create(batch)

    seconds = took(store)
    with connection.schema_editor() as editor:
        editor.delete_model(model)
    return seconds


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
    prepare_django()
    print(json.dumps(measure()))
