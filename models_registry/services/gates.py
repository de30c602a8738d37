"""Run the gate: may this version, at this threshold, leave?"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from detection import gate
from detection.contract import encode
from detection.parity import parity, size
from detection.reference import SnapshotRow, read_snapshot
from detection.sessions import COLUMN_NAMES
from detection.thresholds import raw_threshold
from detection.training_rows import read_training_set
from models_registry.models import GateReport, LedgerKind, Snapshot, Version
from models_registry.services import ledger, snapshots, versions
from models_registry.services.detectors import rules_in_force
from traffic import storage

PARITY_ROWS = 20_000  # of the training set, at most


class NothingToCheck(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """There is no snapshot to check a version on."""


def run_gate(version: Version, threshold: float | None = None, snapshot: Snapshot | None = None) -> GateReport:
    """Check (version, threshold, snapshot) and keep the report; an equal report is returned, not doubled.

    The threshold defaults to the version's own, the snapshot to the newest. Raises NothingToCheck, DamagedFile."""
    threshold = version.threshold if threshold is None else threshold
    snapshot = snapshot or snapshots.newest_snapshot(version.detector)
    if snapshot is None:
        raise NothingToCheck(
            f"{version.detector} has no reference set yet: label items until two experts agree on some."
        )
    rows = read_snapshot(snapshots.read(snapshot))
    report = _check(version, threshold, rows, _digests(version, snapshot))
    return _keep(version, threshold, snapshot, report)


@transaction.atomic
def _keep(version: Version, threshold: float, snapshot: Snapshot, report: gate.Report) -> GateReport:
    kept, is_new = GateReport.objects.get_or_create(
        version=version,
        threshold=threshold,
        snapshot=snapshot,
        digest=report.digest,
        defaults={"passed": report.passed, "report": report.to_dict()},
    )
    if is_new:
        ledger.record(LedgerKind.GATE, kept, detector=version.detector)
    return kept


def is_current(report: GateReport) -> bool:
    """Say whether a report rests on what is in force now: files, rule mapping, price of a false positive."""
    return bool(report.report.get("digests") == _digests(report.version, report.snapshot))


def _check(version: Version, threshold: float, rows: list[SnapshotRow], digests: dict[str, str]) -> gate.Report:
    columns = {name: [row.row.get(name) for row in rows] for name in COLUMN_NAMES}
    inputs = encode(versions.contract(version), columns)
    raw = versions.scorer(version).raw(inputs)
    cases = [
        gate.ReferenceCase(
            key=row.subject_key,
            answer=row.answer,
            rule_hit=row.rule_hit,
            role=row.role,
            shape=row.shape,
            title=row.title,
            raw=float(score),
        )
        for row, score in zip(rows, raw, strict=True)
    ]
    return gate.check(
        cases,
        subject=str(version),
        digests=digests,
        threshold=threshold,
        raw_threshold=raw_threshold(threshold),
        parity=_parity(version, columns),
        size=size(versions.text_model(version), len(storage.get_bytes(version.onnx_path))),
        policy=gate.GatePolicy(),
    )


def _parity(version: Version, columns: dict[str, list[Any]]) -> gate.ParityResult:
    """Compare on the rows of the snapshot and on rows the version was trained on."""
    trained = read_training_set(snapshots.read(version.training_set)).rows
    both = {name: [*values, *trained[name][:PARITY_ROWS]] for name, values in columns.items()}
    return parity(versions.text_model(version), versions.scorer(version), encode(versions.contract(version), both))


def _digests(version: Version, snapshot: Snapshot) -> dict[str, str]:
    return {
        "snapshot": snapshot.digest,
        "onnx": version.onnx_digest,
        "text": version.text_digest,
        "training_set": version.training_set.digest,
        "rule_mapping": rules_in_force(version.detector).version.digest,
        "false_positive_cost": str(version.detector.false_positive_cost),
    }
