"""Weak labels from rules, and versions from training sets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from django.db import transaction
from django.db.models import Max
from numpy.typing import NDArray

from detection.contract import contract_for
from detection.fingerprint import shape_of
from detection.rules import WeakLabel, weak_label
from detection.sessions import COLUMN_NAMES, session_key
from detection.tables import columns_of
from detection.training import TrainedModel, TrainingPolicy, TrainingRows, group_of, read_training_set, train
from models_registry.models import Detector, LedgerKind, ScoreFile, Stage, StageChange, TrainingSet, Version
from models_registry.services import ledger, snapshots
from models_registry.services.detectors import RulesInForce, rules_in_force
from models_registry.services.scoring import read_scores, rows_with_hits
from models_registry.services.snapshots import receive_training_set
from traffic import storage
from traffic.models import Segment
from traffic.services import segments

__all__ = ["BACKGROUND_ROWS", "receive_training_set", "train_version", "weak_rows"]

BACKGROUND_ROWS = 100_000  # quiet sessions at most in one training set
_CODES = {WeakLabel.POSITIVE: 1, WeakLabel.NEGATIVE: 0, WeakLabel.NONE: -1}
POSITIVE, NEGATIVE, NONE = _CODES.values()


def weak_rows(detector: Detector) -> TrainingRows:
    """Return what the rules teach: sessions they hit, and quiet inspected background that no version flagged.

    More background than BACKGROUND_ROWS is thinned by a hash of the session, so the same traffic gives the same rows.
    """
    rules = rules_in_force(detector)
    stored = list(Segment.objects.of_traffic().filter(protocol=detector.protocol).select_related("rule_set", "sensor"))
    quiet = sum(int((_weak_labels(segment, rules) == NEGATIVE).sum()) for segment in stored)
    share = min(1.0, BACKGROUND_ROWS / quiet) if quiet else 1.0
    columns: dict[str, list[Any]] = {name: [] for name in COLUMN_NAMES}
    about: dict[str, list[Any]] = {name: [] for name in ("label", "origin", "source", "group", "key")}
    for segment in stored:
        for row, positive in _chosen(detector, segment, rules, share):
            for name in COLUMN_NAMES:
                columns[name].append(row[name])
            about["label"].append(positive)
            about["origin"].append("rule" if positive else "background")
            about["source"].append(segment.source)
            about["group"].append(group_of(shape_of(row), row["src_ip"]))
            about["key"].append(session_key(segment.sensor.name, row))
    return TrainingRows(
        rows=columns,
        label=np.array(about["label"], np.int8),
        weight=np.ones(len(about["origin"])),
        source=about["source"],
        origin=about["origin"],
        group=about["group"],
        key=about["key"],
    )


def train_version(
    training_set: TrainingSet,
    *,
    stage: Stage | None = None,
    reason: str = "",
    progress: Callable[[int, int], None] | None = None,
    also: Callable[[Version], None] | None = None,
) -> Version:
    """Train the next version of the set's detector.

    A detector's first version starts silent: there is nothing yet that it could be a candidate against.
    `progress` hears how many models of how many are fitted; `also` is called in the transaction that makes the version,
    and undoes it by raising."""
    detector = training_set.detector
    policy = TrainingPolicy(false_positive_cost=detector.false_positive_cost)
    contract = contract_for(detector.protocol)
    rows = read_training_set(snapshots.read(training_set))
    model = train(rows, contract, policy, {"training_set_digest": training_set.digest}, progress)
    first = not detector.versions.exists()
    return _store(
        training_set,
        model,
        contract_id=contract.id,
        parameters=policy.to_dict(),
        stage=stage or (Stage.SILENT if first else Stage.CANDIDATE),
        reason=reason or ("first version: trained from rule verdicts" if first else "retrained"),
        also=also,
    )


def _store(
    training_set: TrainingSet,
    model: TrainedModel,
    *,
    contract_id: str,
    parameters: dict[str, Any],
    stage: Stage,
    reason: str,
    also: Callable[[Version], None] | None,
) -> Version:
    detector = training_set.detector
    folder = f"models/{detector.name}/{model.onnx_digest}"
    storage.put_bytes(f"{folder}/model.onnx", model.onnx_bytes)
    storage.put_bytes(f"{folder}/model.txt", model.text_model.encode())
    with transaction.atomic():
        Detector.objects.select_for_update().get(pk=detector.pk)  # numbers follow each other
        version = Version.objects.create(
            detector=detector,
            number=(detector.versions.aggregate(newest=Max("number"))["newest"] or 0) + 1,
            stage=stage,
            training_set=training_set,
            contract=contract_id,
            onnx_path=f"{folder}/model.onnx",
            onnx_digest=model.onnx_digest,
            text_path=f"{folder}/model.txt",
            text_digest=model.text_digest,
            threshold=model.threshold,
            report=model.report.to_dict(),
            parameters=parameters,
        )
        change = StageChange.objects.create(version=version, old="", new=stage, reason=reason)
        if also is not None:
            also(version)
        ledger.record(LedgerKind.VERSION, version, detector=detector)
        ledger.record(LedgerKind.STAGE, change, ledger.claim(version, "stage"), detector=detector)
    return version


def _weak_labels(segment: Segment, rules: RulesInForce) -> NDArray[np.int8]:
    table = segments.read_sessions(segment, columns=["hits", "flow_sessions"])
    inspected = rules.inspects(segment.rule_set)
    labels = np.full(len(table), NEGATIVE if inspected else NONE, np.int8)
    flow_sessions = table["flow_sessions"].to_pylist()
    for index, hits in rows_with_hits(table["hits"]):
        row = {"hits": hits, "flow_sessions": flow_sessions[index]}
        labels[index] = _CODES[weak_label(row, rules.mapping, inspected=inspected)]
    return labels


def _chosen(
    detector: Detector, segment: Segment, rules: RulesInForce, share: float
) -> Iterator[tuple[dict[str, Any], bool]]:
    labels = _weak_labels(segment, rules)
    labels[(labels == NEGATIVE) & _flagged(detector, segment)] = NONE
    table = segments.read_sessions(segment)
    if share < 1.0:
        labels[(labels == NEGATIVE) & (_lottery(table) >= share)] = NONE
    wanted = np.flatnonzero(labels != NONE)
    columns = columns_of(table.take(pa.array(wanted)))
    for index, number in enumerate(wanted.tolist()):
        yield {name: columns[name][index] for name in COLUMN_NAMES}, bool(labels[number] == POSITIVE)


def _flagged(detector: Detector, segment: Segment) -> NDArray[np.bool_]:
    """Return which sessions any version gave a verdict on: they may be what rules miss, so they are no background."""
    flagged = np.zeros(segment.rows, np.bool_)
    for score_file in ScoreFile.objects.filter(segment=segment, version__detector=detector).select_related("segment"):
        flagged |= read_scores(score_file, columns=["verdict"])["verdict"].to_numpy()
    return flagged


def _lottery(table: pa.Table) -> NDArray[np.float64]:
    """Return a number in [0, 1) per session that depends on the session alone."""
    keys = zip(*(table[name].to_pylist() for name in ("flow_id", "tx_id", "start")), strict=True)
    digests = b"".join(hashlib.blake2b(repr(key).encode(), digest_size=8).digest() for key in keys)
    return np.frombuffer(digests, np.uint64) / 2.0**64
