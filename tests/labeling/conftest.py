"""What tests of the workshop share: session rows, and a queue with items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from detection.contract import HTTP_1
from detection.rules import RuleVerdict
from detection.selection import CELL_CODES, Cell
from detection.sessions import COLUMN_NAMES
from detection.tables import SCORE_SCHEMA
from detection.training import TrainedModel, TrainingPolicy, train
from detection.training_rows import TrainingRows
from labeling.models import Item, Queue
from labeling.services import claims
from models_registry.models import ScoreFile, Version
from tests import factories
from tests.factories import make_row, make_session_item
from tests.labeling.language_model import model  # noqa: F401  # a fixture
from traffic import storage
from traffic.models import Segment
from traffic.services import ingest, segments


def eve_record(number: int, **changes: Any) -> dict[str, Any]:
    """Return one EVE http record; equal look for every number, another flow and second each."""
    http = {
        "hostname": "shop.example.com",
        "url": f"/cgi-bin/{number}.sh?id=1%27",
        "http_user_agent": "curl/8.4.0",
        "http_method": "GET",
        "protocol": "HTTP/1.1",
        "status": 200,
        "length": 1532,
    }
    return {
        "timestamp": f"2026-03-01T12:{number // 60 % 60:02d}:{number % 60:02d}.000000+0000",
        "flow_id": 1000 + number,
        "event_type": "http",
        "src_ip": f"10.1.4.{number % 7 + 1}",
        "src_port": 40000,
        "dest_ip": "10.9.0.5",
        "dest_port": 80,
        "proto": "TCP",
        "tx_id": 0,
        "http": http | changes.pop("http", {}),
    } | changes


@pytest.fixture
def make_segment(db: None, tmp_path: Path) -> Callable[[list[dict[str, Any]]], Segment]:
    """Take EVE records in; return their segment, with real files."""

    def made(records: list[dict[str, Any]]) -> Segment:
        path = tmp_path / f"eve-{Segment.objects.count()}.json"
        path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
        ingest.ingest_paths([str(path)], "core-1", None)
        return Segment.objects.sealed().latest("pk")

    return made


def make_scores(version: Version, segment: Segment, unique: Mapping[int, float], rest: float = -4.0) -> ScoreFile:
    """Store what a version said: unique candidates with these raw scores by row, everything else quiet."""
    rids = segments.read_sessions(segment, columns=["rid", "src_ip"])
    rows = range(segment.rows)
    codes = {cell: code for code, cell in enumerate(CELL_CODES)}
    table = pa.table(
        {
            "rid": rids["rid"],
            "raw": [float(unique.get(row, rest)) for row in rows],
            "verdict": [row in unique for row in rows],
            "rules": [int(RuleVerdict.CLEAN)] * segment.rows,
            "cell": [codes[Cell.UNIQUE if row in unique else Cell.QUIET] for row in rows],
            "src_ip": rids["src_ip"].cast(pa.string()),
        }
    ).cast(SCORE_SCHEMA)
    file = factories.make_score_file(version=version, segment=segment, rows=segment.rows)
    storage.put_table(file.path, table)
    return file


@pytest.fixture
def queue(db: None) -> Queue:
    return factories.make_queue()


@pytest.fixture
def item(queue: Queue) -> Item:
    return make_session_item(queue)


@pytest.fixture
def held(item: Item, expert: Any) -> Item:
    """An item that `expert` holds."""
    assert claims.claim(item, expert)
    return claims.items().get(pk=item.pk)


@pytest.fixture
def answer() -> Callable[..., Any]:
    """Claim an item for an expert and answer it."""
    from labeling.services import labels

    def answered(item: Item, by: Any, answer: str, **details: Any) -> Any:
        assert claims.claim(item, by)
        return labels.submit(item, by, answer, **details)

    return answered


@pytest.fixture(scope="session")
def trained() -> TrainedModel:
    """A small model that knows quotes in a request target from plain paths."""
    rows = [
        make_row(flow_id=number, uri=f"/x.sh?id={number}%27%20or%201=1--", uri_decoded=f"/x.sh?id={number}' or 1=1--")
        if number % 2
        else make_row(flow_id=number, uri=f"/shop/{number}", uri_decoded=f"/shop/{number}")
        for number in range(60)
    ]
    return train(
        TrainingRows(
            rows={name: [row[name] for row in rows] for name in COLUMN_NAMES},
            label=np.array([number % 2 for number in range(60)], np.int8),
            weight=np.ones(60),
            source=["a" if number % 3 else "b" for number in range(60)],
            origin=["expert"] * 60,
            group=[f"{number}|10.0.0.1" for number in range(60)],
            key=[str(number) for number in range(60)],
        ),
        HTTP_1,
        TrainingPolicy(workers=1),
    )


@pytest.fixture
def trained_version(trained: TrainedModel, house: None, db: None) -> Version:
    """A silent version with its files."""
    version = factories.make_version(
        onnx_digest=trained.onnx_digest, text_digest=trained.text_digest, threshold=trained.threshold
    )
    storage.put_bytes(version.onnx_path, trained.onnx_bytes)
    storage.put_bytes(version.text_path, trained.text_model.encode())
    return version
