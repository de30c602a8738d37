"""A small real loop for tests: an EVE log with attacks, taken in, a detector, a first version."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from detection.fingerprint import shape_of, title_of
from detection.reference import SnapshotRow, counts, write_snapshot
from detection.sources.suricata import session_row
from detection.training import TrainingPolicy, write_training_set
from models_registry.models import Detector, Snapshot, Version
from models_registry.services import training
from models_registry.services.detectors import make_detector
from models_registry.services.snapshots import receive_snapshot
from models_registry.services.training import receive_training_set, train_version, weak_rows
from traffic.services.ingest import ingest_paths

ATTACKS = ("/../../etc/passwd", "/?q=<script>alert(1)</script>", "/?id=1' union select 1,2--", "/cgi-bin/x;wget y")
PAGES = ("/", "/index.html", "/news/article-{}", "/static/app.js?v={}", "/api/items/{}")
SPEC = {"name": "http-attacks", "rules": {"name_patterns": ["ET WEB_SERVER *"]}}


def http(flow: int, uri: str, **fields: Any) -> dict[str, Any]:
    """One http record as Suricata writes it."""
    return {
        "timestamp": f"2026-03-01T12:{flow // 60 % 60:02d}:{flow % 60:02d}.000000+0000",
        "flow_id": flow,
        "event_type": "http",
        "src_ip": f"10.0.0.{flow % 9}",
        "src_port": 40_000 + flow,
        "dest_ip": "10.9.0.5",
        "dest_port": 80,
        "proto": "TCP",
        "tx_id": 0,
        "http": {
            "hostname": "intranet.example",
            "url": uri,
            "http_user_agent": "Mozilla/5.0",
            "http_method": "GET",
            "protocol": "HTTP/1.1",
            "status": 200,
            "length": 512,
            "http_content_type": "text/html",
        },
    } | fields


def hit(flow: int, signature: str = "ET WEB_SERVER Attack", **fields: Any) -> dict[str, Any]:
    """One rule hit on a transaction, as Suricata writes it."""
    record = http(flow, "/") | {"event_type": "alert"}
    del record["http"]
    record["alert"] = {
        "action": "allowed",
        "gid": 1,
        "signature_id": 2_000_001,
        "rev": 1,
        "signature": signature,
        "category": "Web Application Attack",
        "severity": 1,
    }
    return record | fields


def records(count: int = 240) -> list[dict[str, Any]]:
    """A quarter of the sessions are attacks; rules know half of each kind."""
    found = []
    for flow in range(1, count + 1):
        is_attack = flow % 4 == 0
        target = ATTACKS[flow // 4 % len(ATTACKS)] if is_attack else PAGES[flow % len(PAGES)].format(flow * 7919)
        found.append(http(flow, target))
        if is_attack and is_known(flow):
            found.append(hit(flow))
    return found


def is_known(flow: int) -> bool:
    """Do the rules know this attack?"""
    return flow // 16 % 2 == 0


def take_in(folder: Path, lines: list[dict[str, Any]], name: str = "office.eve.json", sensor: str = "core-1") -> None:
    """Write records to a log and take it in."""
    path = folder / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ingest_paths([path], sensor)


def train_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let versions of a test have few trees: for tests of what happens around a training, not of what it learns."""
    few = partial(TrainingPolicy, trees=60, source_trees=10)
    monkeypatch.setattr(training, "TrainingPolicy", few)


def first_version(detector: Detector) -> Version:
    """Train the first version from what the rules said."""
    rows = weak_rows(detector)
    return train_version(receive_training_set(detector, write_training_set(rows), rows=len(rows), counts={}))


def make_loop(folder: Path) -> Version:
    """Take the log in, make the detector, train its first version."""
    take_in(folder, records())
    return first_version(make_detector(SPEC))


def reference_row(
    uri: str, answer: str, *, rule_hit: bool = False, role: str = "hold-out", number: int = 1
) -> SnapshotRow:
    """A row of the reference set about a request for `uri`."""
    row = session_row(http(number, uri))
    shape = shape_of(row)
    return SnapshotRow(
        subject_key=f"core-1|{number}|0|{row['start']}",
        answer=answer,
        rule_hit=rule_hit,
        role="hold-out",
        shape=shape,
        fingerprint=shape,
        host=row["src_ip"],
        day="2026-03-01",
        source="office",
        title=title_of(row),
        row={**row, "hits": []},
    )


def keep_snapshot(detector: Detector, *rows: SnapshotRow) -> Snapshot:
    """Freeze a reference set."""
    return receive_snapshot(detector, write_snapshot(rows), rows=len(rows), counts=counts(rows))


ATTACK, PAGE = "/?id=1' union select 1,2--", "/index.html"


def right_rows() -> list[SnapshotRow]:
    """A reference set that any fair model gets right."""
    return [reference_row(ATTACK, "positive"), reference_row(PAGE, "negative", number=2)]
