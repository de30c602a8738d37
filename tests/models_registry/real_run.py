"""One real run: a detector, labels and traffic of the shared data, two versions, a gate report. Nothing is invented.

EVE logs come in as traffic, whose rules teach weakly. CSIC 2010 (part 1), the CRS regression tests and HttpParams are
saved dumps: each request carries the label of its authors. A keyed half of their looks is the reference set, which no
training sees; the other half is trained on. They have no clock, so folds by time are of the EVE logs alone.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import yaml

from detection.fingerprint import shape_of, title_of
from detection.reference import HOLDOUT, ReferencePolicy, SnapshotRow, counts, role_of, write_snapshot
from detection.sessions import COLUMN_NAMES
from detection.sources.suricata import session_row
from detection.training_rows import TrainingRows, group_of, write_training_set
from models_registry.models import GateReport, Snapshot, TrainingSet, Version
from models_registry.services import gates
from models_registry.services.detectors import make_detector
from models_registry.services.snapshots import receive_snapshot
from models_registry.services.training import receive_training_set, train_version, weak_rows
from traffic.services.ingest import ingest_paths

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "formats" / "detector.http-attacks.yml"
KEY = b"a key for this run"
EVERY = 8  # of CSIC and HttpParams, one in so many


@dataclass(frozen=True, slots=True)
class Request:
    """A labelled request as its authors published it."""

    source: str
    number: int
    positive: bool
    row: dict[str, Any]

    @property
    def key(self) -> str:
        return f"{self.source}|{self.number}"

    @property
    def shape(self) -> str:
        return str(shape_of(self.row))


@dataclass(frozen=True, slots=True)
class Run:
    first: Version
    candidate: Version
    training_set: TrainingSet
    snapshot: Snapshot
    gate: GateReport


def run(data: Path) -> Run:
    """Take the traffic in, train from rules, train again with half of the labels, ask the gate about the other half."""
    ingest_paths(sorted((data / "eve").glob("*.eve.json.gz")), "lab")
    detector = make_detector(yaml.safe_load(EXAMPLE.read_text()))
    weak = weak_rows(detector)
    first = train_version(receive_training_set(detector, write_training_set(weak), rows=len(weak), counts={}))
    requests = list(labelled(data / "http-labelled"))
    held = [one for one in requests if role_of(KEY, one.shape, one.source, ReferencePolicy()) == HOLDOUT]
    free = [one for one in requests if role_of(KEY, one.shape, one.source, ReferencePolicy()) != HOLDOUT]
    reference = snapshot_rows(held)
    snapshot = receive_snapshot(detector, write_snapshot(reference), rows=len(reference), counts=counts(reference))
    rows = joined(weak, free)
    training_set = receive_training_set(detector, write_training_set(rows), rows=len(rows), counts={})
    candidate = train_version(training_set)
    return Run(first, candidate, training_set, snapshot, gates.run_gate(candidate, snapshot=snapshot))


def labelled(folder: Path) -> Iterator[Request]:
    yield from _csic(folder / "csic2010-part1.jsonl.gz")
    yield from _crs(folder / "crs-regression-911-933.jsonl.gz")
    yield from _http_params(folder / "httpparams-train.csv.gz")


def _csic(path: Path) -> Iterator[Request]:
    for number, told in islice(enumerate(_lines(path)), 0, None, EVERY):
        headers = {one["name"].lower(): one["value"] for one in told["headers"]}
        parts = urlsplit(told["url"])
        # a form's fields lie in the body, which sessions do not carry: they are read as a query
        query = "&".join(filter(None, (parts.query, told["body"] or "")))
        uri = parts.path + (f"?{query}" if query else "")
        yield Request("csic", number, told["label"] == "attack", _row(told["method"], uri, headers))


def _crs(path: Path) -> Iterator[Request]:
    for number, told in enumerate(_lines(path)):
        if told["label"] in ("attack", "benign_or_fp") and told["uri"]:
            headers = {one["name"].lower(): one["value"] for one in told["headers"] or []}
            yield Request("crs", number, told["label"] == "attack", _row(told["method"] or "GET", told["uri"], headers))


def _http_params(path: Path) -> Iterator[Request]:
    with gzip.open(path, "rb") as stream:
        rows = csv.DictReader(io.TextIOWrapper(stream, "utf-8", newline=""))
        for number, told in islice(enumerate(rows), 0, None, EVERY):
            uri = f"/?q={quote(told['payload'])}"
            yield Request("httpparams", number, told["label"] == "anom", _row("GET", uri, {}))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rb") as stream:
        yield from map(json.loads, stream)


def _row(method: str, uri: str, headers: dict[str, str]) -> dict[str, Any]:
    record = {
        "timestamp": "2026-01-01T00:00:00.000000+0000",
        "event_type": "http",
        "flow_id": 1,
        "src_ip": "192.0.2.1",
        "src_port": 40_000,
        "dest_ip": "198.51.100.1",
        "dest_port": 80,
        "proto": "TCP",
        "tx_id": 0,
        "http": {"http_method": method, "url": uri, "hostname": headers.get("host", "")}
        | ({"http_user_agent": headers["user-agent"]} if "user-agent" in headers else {}),
    }
    return dict.fromkeys(COLUMN_NAMES) | session_row(record) | {"hits": []}


def joined(weak: TrainingRows, requests: list[Request]) -> TrainingRows:
    rows = [one.row | {"start": None} for one in requests]  # nobody knows when it was
    return TrainingRows(
        rows={name: [*weak.rows[name], *(row[name] for row in rows)] for name in COLUMN_NAMES},
        label=np.concatenate([weak.label, np.array([one.positive for one in requests], np.int8)]),
        weight=np.ones(len(weak) + len(requests)),
        source=[*weak.source, *(one.source for one in requests)],
        origin=[*weak.origin, *["dump"] * len(requests)],
        group=[*weak.group, *(group_of(one.shape, one.source) for one in requests)],
        key=[*weak.key, *(one.key for one in requests)],
    )


def snapshot_rows(requests: list[Request]) -> list[SnapshotRow]:
    """One row of each look: thousands that are alike would fill the set."""
    looks = {(one.shape, one.source): one for one in reversed(requests)}
    return [
        SnapshotRow(
            subject_key=one.key,
            answer="positive" if one.positive else "negative",
            rule_hit=False,
            role=HOLDOUT,
            shape=one.shape,
            fingerprint=one.shape,
            host=one.source,
            day="2026-01-01",
            source=one.source,
            title=title_of(one.row),
            row=one.row,
        )
        for one in looks.values()
    ]
