"""TLS applications of the simulation: told apart by truth, hard to tell apart by sight."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import yaml

from detection.contract import TLS_1, encode
from detection.fingerprint import shape_of
from detection.rules import RuleMapping, WeakLabel, covers, weak_label
from detection.scoring import Scorer
from detection.sessions import COLUMN_NAMES, session_key
from detection.sources.suricata_reader import Reader
from detection.training import TrainedModel, TrainingPolicy, TrainingRows, group_of, train
from traffic.services.rule_sets import read_rules
from traffic.simulator import Kind, Parameters, Simulation
from traffic.simulator.simulation import Truth

FORMATS = Path(__file__).resolve().parents[2] / "docs" / "formats"
PARAMETERS = Parameters(sessions_per_day=4_000, hosts=80, tls_per_day=30_000)
BEGINS = PARAMETERS.begins + timedelta(hours=6)
WINDOW = (BEGINS, BEGINS + timedelta(hours=3))
Row = dict[str, Any]
POLICY = replace(TrainingPolicy(), trees=60, source_trees=10)


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return Simulation(PARAMETERS, seed=2)


@pytest.fixture(scope="module")
def lines(simulation: Simulation) -> list[bytes]:
    return list(simulation.lines(*WINDOW))


@pytest.fixture(scope="module")
def rows(lines: list[bytes]) -> list[Row]:
    return [
        dict.fromkeys(COLUMN_NAMES) | dict(zip(chunk.columns, values, strict=True))
        for chunk in Reader(io.BytesIO(b"\n".join(lines)))
        if chunk.protocol == "tls"
        for values in zip(*chunk.columns.values(), strict=True)
    ]


@pytest.fixture(scope="module")
def truth(simulation: Simulation) -> dict[int, Truth]:
    return {one.flow_id: one for one in simulation.truth(*WINDOW) if one.protocol == "tls"}


def test_http_lines_are_the_same_without_tls() -> None:
    window = (BEGINS, BEGINS + timedelta(minutes=20))
    quiet = Simulation(replace(PARAMETERS, tls_per_day=0), seed=2)
    told = [[line for line in one.lines(*window) if b'"http"' in line] for one in (Simulation(PARAMETERS, 2), quiet)]
    assert told[0] == told[1]
    assert told[0]


def test_windows_tile(lines: list[bytes]) -> None:
    pieces = [(BEGINS + timedelta(minutes=60 * at), BEGINS + timedelta(minutes=60 * at + 60)) for at in range(3)]
    again = Simulation(PARAMETERS, seed=2)
    assert sorted(line for piece in pieces for line in again.lines(*piece)) == sorted(lines)


def test_every_session_has_its_truth_and_its_flow(rows: list[Row], truth: dict[int, Truth]) -> None:
    assert {row["flow_id"] for row in rows} == truth.keys()
    assert all(row["flow_end"] > row["flow_start"] and row["bytes_to_client"] for row in rows)


def test_each_application_is_there_and_rules_know_a_part_of_it(truth: dict[int, Truth]) -> None:
    families = Counter((one.family, one.rules_hit) for one in truth.values())
    for name in ("ktalk", "telegram", "implant"):
        assert min(families[name, True], families[name, False]) > 5, name
    assert families["web", False] > 1_000
    assert not families["web", True]
    assert families["other-talk", True]  # a rule's mistake
    kinds = {one.family: one.kind for one in truth.values()}
    assert (kinds["ktalk"], kinds["other-talk"], kinds["implant"]) == (Kind.BENIGN, Kind.LOOK_ALIKE, Kind.ATTACK)


def test_certificates_hide_behind_tls13_and_browsers_shuffle(rows: list[Row]) -> None:
    assert all(row["cert_subject"] is None for row in rows if row["tls_version"] == "TLS 1.3")
    shown = [row for row in rows if row["cert_subject"]]
    assert len(shown) > 300
    assert all(row["cert_not_before"] <= row["start"] < row["cert_not_after"] for row in shown)
    assert any(row["session_resumed"] for row in rows)
    chrome = [row for row in rows if row["ja4"].startswith("t13d1516h2_")]
    assert len({row["ja4"] for row in chrome}) < 5
    assert len({row["ja3"] for row in chrome}) > 100


def test_names_are_reserved_for_documentation(lines: list[bytes]) -> None:
    for line in lines:
        tls = orjson.loads(line).get("tls", {})
        assert tls.get("sni", ".example").endswith((".example", ".test"))


# --- what a detector makes of it


def taught(rows: list[Row], mapping: RuleMapping) -> TrainingRows:
    labels = [(row, weak_label(row, mapping, inspected=True)) for row in rows]
    kept = [(row, label is WeakLabel.POSITIVE) for row, label in labels if label is not WeakLabel.NONE]
    return TrainingRows(
        rows={name: [row[name] for row, _ in kept] for name in COLUMN_NAMES},
        label=np.array([positive for _, positive in kept], np.int8),
        weight=np.ones(len(kept)),
        source=["synthetic-core"] * len(kept),
        origin=["rule" if positive else "background" for _, positive in kept],
        group=[group_of(shape_of(row), row["src_ip"]) for row, _ in kept],
        key=[session_key("synthetic-core", row) for row, _ in kept],
    )


def wins(model: TrainedModel, rows: list[Row], is_unknown: list[bool], is_other: list[bool]) -> float:
    """The chance that an unknown connection of the application scores above one of another."""
    raw = Scorer(model.onnx_bytes).raw(encode(TLS_1, {name: [row[name] for row in rows] for name in COLUMN_NAMES}))
    others = np.sort(raw[is_other])
    return float((np.searchsorted(others, raw[is_unknown]) / len(others)).mean())


@pytest.fixture(scope="module")
def mappings(simulation: Simulation) -> dict[str, RuleMapping]:
    """The example detectors; the simulated sensors have rules of both."""
    found = {
        name: RuleMapping.from_dict(yaml.safe_load((FORMATS / f"detector.{name}.yml").read_text())["rules"])
        for name in ("ktalk", "telegram")
    }
    index = list(read_rules(simulation.rule_file()))
    assert all(covers(mapping, index) for mapping in found.values())
    return found


def test_what_looks_like_what_rules_know_stands_above_other_applications(
    rows: list[Row], truth: dict[int, Truth], mappings: dict[str, RuleMapping]
) -> None:
    model = train(taught(rows, mappings["ktalk"]), TLS_1, POLICY)
    of = [truth[row["flow_id"]] for row in rows]
    unknown = [one.family == "ktalk" and not one.rules_hit for one in of]
    assert sum(unknown) > 50
    assert wins(model, rows, unknown, [one.family != "ktalk" for one in of]) > 0.75


def test_what_rules_can_never_see_is_learnt_from_a_few_answers(
    rows: list[Row], truth: dict[int, Truth], mappings: dict[str, RuleMapping]
) -> None:
    """Rules read names, so each connection without one is background to them, and a model learns that from them."""
    of = [truth[row["flow_id"]] for row in rows]
    unknown = [one.family == "telegram" and not one.rules_hit for one in of]
    others = [one.family != "telegram" for one in of]
    weak = taught(rows, mappings["telegram"])
    assert wins(train(weak, TLS_1, POLICY), rows, unknown, others) < 0.25

    asked = [at for at, is_asked in enumerate(unknown) if is_asked][::8]
    answered = {session_key("synthetic-core", rows[at]) for at in asked}
    expert = [key in answered for key in weak.key]
    told = replace(
        weak,
        label=np.where(expert, 1, weak.label).astype(np.int8),
        origin=["expert" if one else origin for one, origin in zip(expert, weak.origin, strict=True)],
    )
    for at in asked:
        unknown[at] = False
    assert wins(train(told, TLS_1, POLICY), rows, unknown, others) > 0.75
