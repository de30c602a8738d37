"""Run the gate: may this version, at this threshold, leave?"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import Role
from accounts.services import audit
from detection import gate
from detection.contract import encode
from detection.gate_report import GatePolicy, Report
from detection.parity import parity, size
from detection.reference import SnapshotRow, read_snapshot
from detection.sessions import COLUMN_NAMES
from detection.ship_queries import digest_of
from detection.thresholds import raw_threshold
from detection.training_rows import read_training_set
from models_registry.models import AcceptedLoss, Claim, GateReport, LedgerKind, Snapshot, Stage, Version
from models_registry.services import diffs, gate_evidence, ledger, ship_queries, snapshots, versions
from models_registry.services.detectors import rules_in_force
from models_registry.services.two_people import reason_of
from traffic import storage

PARITY_ROWS = 20_000  # of the training set, at most


class NothingToCheck(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """There is no snapshot to check a version on."""


class LossRefused(ValueError):  # noqa: N818
    """Nothing was accepted; the message says why."""


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
    report = _check(version, threshold, rows, _digests(version, threshold, snapshot))
    return _keep(version, threshold, snapshot, report)


@transaction.atomic
def _keep(version: Version, threshold: float, snapshot: Snapshot, report: Report) -> GateReport:
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


@transaction.atomic
def accept_loss(report: GateReport, key: str, by: User, reason: str) -> AcceptedLoss:
    """Let a version lose a known attack that a report names; the gate must be asked again. Raises LossRefused."""
    if not by.has_role(Role.SENIOR):
        raise LossRefused(_("A loss is accepted by a senior expert."))
    reason = reason_of(reason)
    if not reason:
        raise LossRefused(_("Say why this version may lose a known attack."))
    lost = {row["key"]: row for row in _rows(report, "unique detects")}
    if key not in lost:
        raise LossRefused(_("The report names no such loss."))
    accepted, is_new = AcceptedLoss.objects.get_or_create(
        version=report.version,
        subject_key=key,
        defaults={"gate_report": report, "title": lost[key]["title"], "reason": reason, "by": by},
    )
    if is_new:
        ledger.record(LedgerKind.REVIEW, accepted, by=by, detector=report.version.detector)
        audit.record(by, "loss.accepted", str(report.version), report=report.pk, key=key, reason=reason)
    return accepted


def claim(version: Version, figures: dict[str, Any]) -> Claim:
    """Keep what the workshop showed of a version's precision; the same figures are kept once."""
    newest = version.claims.filter(threshold=version.threshold).first()
    if newest is not None and newest.figures == figures:
        return newest
    return Claim.objects.create(version=version, threshold=version.threshold, figures=figures)


def _proof(version: Version, threshold: float) -> dict[str, Any] | None:
    newest = version.claims.filter(threshold=threshold).first()
    return dict(newest.figures) if newest else None


def _rows(report: GateReport, name: str) -> list[dict[str, Any]]:
    return [row for check in report.report["checks"] if check["name"] == name for row in check["rows"]]


def is_current(report: GateReport) -> bool:
    """Say whether a report rests on what is in force now: files, rules, ceilings, reviews, the active version."""
    return report.report.get("digests") == _digests(
        report.version, report.threshold, report.snapshot
    ) and _is_beside_the_active(report)


def _is_beside_the_active(report: GateReport) -> bool:
    """Say whether the report compares with the version that customers have now, where it saw traffic at all."""
    traffic = report.report.get("traffic")
    if not traffic or report.version.stage == Stage.ACTIVE:
        return True
    active = diffs.active_beside(report.version)
    return bool((traffic["against"] or {}).get("version", "") == str(active or ""))


def _check(version: Version, threshold: float, rows: list[SnapshotRow], digests: dict[str, str]) -> Report:
    columns = {name: [row.row.get(name) for row in rows] for name in COLUMN_NAMES}
    inputs = encode(versions.contract(version), columns)
    raw = versions.scorer(version).raw(inputs)
    week = gate_evidence.week_of(version, threshold)
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
        policy=GatePolicy(),
        week=week,
        ship_queries=gate_evidence.ship_findings(version, threshold, week),
        accepted=dict(version.accepted_losses.values_list("subject_key", "reason")),
        proof=_proof(version, threshold),
    )


def _parity(version: Version, columns: dict[str, list[Any]]) -> gate.ParityResult:
    """Compare on the rows of the snapshot and on rows the version was trained on."""
    trained = read_training_set(snapshots.read(version.training_set), PARITY_ROWS).rows
    both = {name: [*values, *trained[name]] for name, values in columns.items()}
    return parity(versions.text_model(version), versions.scorer(version), encode(versions.contract(version), both))


def _digests(version: Version, threshold: float, snapshot: Snapshot) -> dict[str, str]:
    return {
        "snapshot": snapshot.digest,
        "onnx": version.onnx_digest,
        "text": version.text_digest,
        "training_set": version.training_set.digest,
        "rule_mapping": rules_in_force(version.detector).version.digest,
        "accepted_losses": digest_of(sorted(version.accepted_losses.values_list("subject_key", flat=True))),
        "verdict_diff": diffs.state_of(version, threshold),
        "ship_queries": ship_queries.digest(version.detector),
        "false_positive_cost": str(version.detector.false_positive_cost),
    }
