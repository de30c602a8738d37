"""TLS sessions of public captures: features as slow Python says, and what an example detector learns from rules."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from detection.contract import TLS_1, encode
from detection.fingerprint import shape_of, title_of
from detection.rules import RuleMapping, WeakLabel, is_protocol_oddity, weak_label
from detection.scoring import Scorer
from detection.sessions import COLUMN_NAMES, session_key
from detection.sources.suricata_reader import Reader
from detection.thresholds import raw_threshold
from detection.training import TrainedModel, TrainingPolicy, TrainingRows, group_of, train
from tests.detection.test_tls_features import assert_equal

FORMATS = Path(__file__).resolve().parents[2] / "docs" / "formats"

# TLS sessions per capture file by what the rules teach about them: positive, negative, nothing
TAUGHT = {
    "corelight-packages": (1, 108, 1),
    "misc": (0, 0, 1),  # no rule of any class spoke about TLS in this file: not inspected
    "ndpi": (79, 379, 1),
    "otrf": (0, 0, 4),
    "slips": (0, 0, 321),
    "slips-test6-suricata": (0, 0, 1),
    "suricata-verify": (13, 49, 1),
    "zeek": (1, 73, 1),
}


@pytest.fixture(scope="module")
def sessions(shared_data: Path) -> dict[str, list[dict[str, Any]]]:
    """TLS sessions per file, as the reader gives them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((shared_data / "eve").glob("*.eve.json.gz")):
        with path.open("rb") as stream:
            rows = [
                dict.fromkeys(COLUMN_NAMES) | dict(zip(chunk.columns, values, strict=True))
                for chunk in Reader(stream)
                if chunk.protocol == "tls"
                for values in zip(*chunk.columns.values(), strict=True)
            ]
        if rows:
            found[path.name.split(".")[0]] = rows
    return found


@pytest.fixture(scope="module")
def mapping() -> RuleMapping:
    return RuleMapping.from_dict(yaml.safe_load((FORMATS / "detector.tls-threats.yml").read_text())["rules"])


def is_inspected(rows: list[dict[str, Any]]) -> bool:
    return any(not is_protocol_oddity(hit) for row in rows for hit in row["hits"])


@pytest.fixture(scope="module")
def weak(sessions: dict[str, list[dict[str, Any]]], mapping: RuleMapping) -> TrainingRows:
    rows, about = [], []
    for source, found in sessions.items():
        for row in found:
            label = weak_label(row, mapping, inspected=is_inspected(found))
            if label is not WeakLabel.NONE:
                rows.append(row)
                about.append((source, label is WeakLabel.POSITIVE))
    return TrainingRows(
        rows={name: [row[name] for row in rows] for name in COLUMN_NAMES},
        label=np.array([positive for _, positive in about], dtype=np.int8),
        weight=np.ones(len(rows)),
        source=[source for source, _ in about],
        origin=["rule" if positive else "background" for _, positive in about],
        group=[group_of(shape_of(row), row["src_ip"]) for row in rows],
        key=[session_key(source, row) for row, (source, _) in zip(rows, about, strict=True)],
    )


@pytest.fixture(scope="module")
def model(weak: TrainingRows) -> TrainedModel:
    return train(weak, TLS_1, replace(TrainingPolicy(), trees=100, source_trees=50))


def test_the_graph_says_what_slow_python_says(sessions: dict[str, list[dict[str, Any]]]) -> None:
    rows = [row for found in sessions.values() for row in found]
    assert_equal(rows[::5])


def test_sizes_and_durations_come_with_the_end_of_the_flow(sessions: dict[str, list[dict[str, Any]]]) -> None:
    ended = Counter(row["flow_end"] is not None for found in sessions.values() for row in found)
    assert ended == {True: 1033, False: 1}  # one sensor wrote no flow record


def test_what_rules_teach(sessions: dict[str, list[dict[str, Any]]], mapping: RuleMapping) -> None:
    found = {}
    for source, rows in sessions.items():
        labels = Counter(weak_label(row, mapping, inspected=is_inspected(rows)) for row in rows)
        found[source] = tuple(labels[label] for label in (WeakLabel.POSITIVE, WeakLabel.NEGATIVE, WeakLabel.NONE))
    assert found == TAUGHT


def test_connections_fold_to_looks_that_people_can_read(sessions: dict[str, list[dict[str, Any]]]) -> None:
    rows = [row for found in sessions.values() for row in found]
    titles = {title_of(row) for row in rows}
    assert (len(rows), len({shape_of(row) for row in rows})) == (1034, 285)
    assert {"TLS amazon.com t12dh2_f0daf39aad75", "TLS no host by DcRat By qwqdanchun t10i00_9a86275ec70d"} <= titles


def test_the_report_says_by_source_what_the_model_does_not_know(model: TrainedModel) -> None:
    """Most hits are one kind of device in one file: a model that never met the file cannot know it."""
    report = model.report.to_dict()
    assert report["out_of_fold"]["recall"] > 0.8
    recall = {one["source"]: one["recall"] for one in report["leave_one_source_out"]["sources"]}
    assert recall["ndpi"] < 0.3
    assert any("All labels are weak" in note for note in report["notes"])


def test_the_onnx_flags_what_training_flagged(model: TrainedModel, weak: TrainingRows) -> None:
    raw = Scorer(model.onnx_bytes).raw(encode(TLS_1, weak.rows))
    assert (raw >= raw_threshold(model.threshold))[weak.label == 1].mean() > 0.9


@pytest.mark.parametrize(
    ("detector", "signature", "is_of_the_class"),
    [
        ("telegram", "ET INFO Observed Telegram Domain (t .me in TLS SNI)", True),
        ("telegram", "ET HUNTING Telegram API Certificate Observed", True),
        ("telegram", "ET MOBILE_MALWARE Arid Viper (es-last-telegram .appspot .com in TLS SNI)", False),
        ("telegram", "ET HUNTING Suspected Malicious Telegram Communication (POST)", False),
        ("ktalk", "SYNTHETIC APP ktalk in TLS SNI", True),
        ("ktalk", "ET INFO Observed Telegram Domain (t .me in TLS SNI)", False),
        ("tls-threats", "ET HUNTING Self-Signed Cert O=XX Observed", True),
        ("tls-threats", "ET INFO TLS Handshake Failure", False),
        ("tls-threats", "SURICATA TLS invalid record type", False),
    ],
)
def test_which_signatures_speak_about_an_application(detector: str, signature: str, *, is_of_the_class: bool) -> None:
    rules = RuleMapping.from_dict(yaml.safe_load((FORMATS / f"detector.{detector}.yml").read_text())["rules"])
    hit = {"sid": 1, "signature": signature, "category": "Misc activity", "severity": 3}
    assert rules.matches(hit) is is_of_the_class
