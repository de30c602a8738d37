"""Write into the ledger: each fact in the transaction that makes it, chained to the one before by SHA-256.

An entry says what rows hold: "this gate report has that digest". `ledger_check` compares the newest word about each
row with the row itself, and with the file that the row speaks of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import models, transaction
from django.db.models import Max
from django.utils import timezone

from accounts.models import AuditEntry, User
from models_registry.models import (
    AcceptedLoss,
    ApproverKey,
    Bundle,
    BundleEntry,
    Detector,
    DetectorDecision,
    DetectorProposal,
    Erasure,
    GateReport,
    LedgerEntry,
    LedgerHead,
    LedgerKind,
    Publication,
    Release,
    ReleaseSignature,
    Rollback,
    RollbackReview,
    RuleMappingVersion,
    ShipQuery,
    ShipQueryDecision,
    ShipQueryProposal,
    Snapshot,
    StageChange,
    StageDecision,
    StageProposal,
    ThresholdDecision,
    ThresholdProposal,
    TrainingSet,
    Version,
)

_FROZEN = ("detector_id", "number", "digest", "path", "rows", "counts", "created_at")
_DECIDED = ("proposal_id", "outcome", "reason", "by_id", "role", "at")
# what an entry says of a row; a path and the digest with the same first word are a file and what it must be
FIELDS: dict[type[models.Model], tuple[str, ...]] = {
    Snapshot: _FROZEN,
    Erasure: ("path", "old_digest", "digest", "rows", "at"),
    TrainingSet: (*_FROZEN, "frozen_at"),
    Version: (
        *("detector_id", "number", "training_set_id", "contract", "threshold", "report", "parameters", "created_at"),
        *("onnx_path", "onnx_digest", "text_path", "text_digest"),
    ),
    GateReport: ("version_id", "threshold", "snapshot_id", "passed", "report", "digest", "created_at"),
    StageChange: ("version_id", "old", "new", "reason", "by_id", "at"),
    StageProposal: (
        *("version_id", "old", "new", "after_id", "gate_report_id", "displaces_id", "displaced_to", "reason"),
        *("by_id", "role", "at"),
    ),
    StageDecision: (*_DECIDED, "change_id", "gate_report_id"),
    Rollback: ("change_id", "restored_id", "reason", "by_id", "role", "at"),
    RollbackReview: ("rollback_id", "outcome", "note", "by_id", "role", "at"),
    RuleMappingVersion: ("detector_id", "number", "mapping", "digest", "made_by_id", "approved_by_id", "created_at"),
    Detector: ("name", "protocol", "positive_class", "negative_class", "false_positive_cost"),
    DetectorProposal: ("detector_id", "after_id", "old_cost", "mapping", "digest", "new_cost", "by_id", "role", "at"),
    DetectorDecision: (*_DECIDED, "mapping_id"),
    Bundle: ("digest", "config", "path", "bytes", "metadata", "created_at"),
    BundleEntry: ("bundle_id", "version_id", "threshold", "is_silent", "gate_report_id"),
    ApproverKey: ("user_id", "keyid", "public", "added_at"),
    Release: (
        *("bundle_id", "channel", "customer_id", "path", "digest", "takes_back", "parts"),
        *("reason", "by_id", "role", "at"),
    ),
    ReleaseSignature: ("release_id", "key_id", "role", "values", "at"),
    Publication: ("bundle_id", "channel", "customer_id", "by_id", "published_at"),
    ShipQuery: ("detector_id", "name", "number", "terms", "digest", "made_by_id", "approved_by_id", "created_at"),
    ShipQueryProposal: ("detector_id", "name", "terms", "digest", "after_id", "reason", "by_id", "role", "at"),
    ShipQueryDecision: (*_DECIDED, "query_id"),
    ThresholdProposal: ("version_id", "threshold", "false_positive_cost", "miss_cost", "reason", "by_id", "role", "at"),
    ThresholdDecision: _DECIDED,
    AcceptedLoss: ("gate_report_id", "version_id", "subject_key", "title", "reason", "by_id", "at"),
    AuditEntry: ("at", "actor_id", "action", "subject", "details"),
}
# of these every row has its entry: one without came in by another door
RECORDED: tuple[type[models.Model], ...] = (
    *(ShipQuery, ShipQueryDecision, ThresholdDecision, AcceptedLoss),
    *(Snapshot, TrainingSet, Erasure, Version, GateReport, StageChange, StageDecision),
    *(RuleMappingVersion, DetectorDecision, Bundle, ReleaseSignature, Publication, Rollback, RollbackReview),
)
_SHORT = 200  # characters of JSON that stand in an entry as they are; of longer values the digest
_HEAD = 1  # the only row of LedgerHead


@dataclass(frozen=True, slots=True)
class Claim:
    """What an entry says of one row: the values of some of its columns."""

    row: str  # "models_registry.gatereport:12"
    values: Mapping[str, Any]


def claim(row: models.Model, *fields: str) -> Claim:
    """Return what the database holds of a row now; without fields, those of FIELDS."""
    model = type(row)
    named = fields or FIELDS[model]
    held = model._base_manager.filter(pk=row.pk).values(*named).get()
    return Claim(row_name(model, row.pk), {name: plain(held[name]) for name in named})


def record(
    kind: LedgerKind,
    *about: models.Model | Claim,
    by: User | None = None,
    detector: Detector | None = None,
    subject: str = "",
    audit_entry: AuditEntry | None = None,
    notes: Mapping[str, Any] | None = None,
) -> LedgerEntry:
    """Add an entry about rows, the one it is about first. Call it where the rows are written, after every lock.

    RuntimeError outside a transaction: a fact and its entry come together or not at all."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("an entry of the ledger is written in the transaction of its fact")
    claims = [one if isinstance(one, Claim) else claim(one) for one in about]
    head = _held_head()
    return _append(
        head,
        kind,
        subject or (str(about[0]) if about else ""),
        claims,
        by=by,
        detector=detector,
        audit_entry=audit_entry,
        notes=notes or {},
    )


def head() -> tuple[int, str]:
    """Return number and digest of the newest entry; 0 and nothing before there is one."""
    found = LedgerHead.objects.filter(pk=_HEAD).first()
    return (found.number, found.digest) if found else (0, "")


def receipt(detectors: Iterable[Detector]) -> dict[str, Any]:
    """Return the newest entry about some detectors, bundles aside: what a bundle of them carries.

    Its digest stands for the whole chain up to it; and the same detectors, about which nothing was decided since,
    give the same bytes again. Empty before there is an entry."""
    newest = LedgerEntry.objects.filter(detector__in=list(detectors)).exclude(kind=LedgerKind.BUNDLE).first()
    return {"entry": newest.number, "digest": newest.digest} if newest else {}


def about(row: models.Model) -> LedgerEntry | None:
    """Return the newest entry that a row is the first of."""
    return LedgerEntry.objects.filter(row=row_name(type(row), row.pk)).first()


def row_name(model: type[models.Model], pk: Any) -> str:
    return f"{model._meta.label_lower}:{pk}"


def chained(previous: str, body: str) -> str:
    """Return the digest of an entry."""
    return hashlib.sha256(f"{previous}\n{body}".encode()).hexdigest()


def canonical(value: Any) -> str:
    """Return JSON with one spelling per value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=True)


def plain(value: Any) -> Any:
    """Return a column's value as it stands in an entry; of a long one, what it hashes to."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    text = canonical(value)
    return value if len(text) <= _SHORT else {"sha256": hashlib.sha256(text.encode()).hexdigest()}


def _held_head() -> LedgerHead:
    """Return the head, held until this transaction ends."""
    LedgerHead.objects.get_or_create(pk=_HEAD)
    held = LedgerHead.objects.select_for_update().get(pk=_HEAD)
    if held.number == 0:
        before = {model._meta.label_lower: _newest(model) for model in RECORDED}
        _append(held, LedgerKind.BEGINNING, "", [], by=None, detector=None, audit_entry=None, notes={"before": before})
    return held


def _newest(model: type[models.Model]) -> int:
    return int(model._base_manager.aggregate(newest=Max("pk"))["newest"] or 0)


def _append(
    head: LedgerHead,
    kind: LedgerKind,
    subject: str,
    claims: list[Claim],
    *,
    by: User | None,
    detector: Detector | None,
    audit_entry: AuditEntry | None,
    notes: Mapping[str, Any],
) -> LedgerEntry:
    at = timezone.now()
    body = canonical(
        {
            "number": head.number + 1,
            "at": plain(at),
            "kind": kind.value,
            "subject": (subject := subject.replace("\0", "")[:255]),
            "detector": detector.name if detector else None,
            "by": by.username if by else None,
            "claims": [{"row": one.row, "values": dict(one.values)} for one in claims],
            "notes": dict(notes),
        }
    )
    entry = LedgerEntry.objects.create(
        number=head.number + 1,
        at=at,
        kind=kind.value,
        subject=subject,
        row=claims[0].row if claims else "",
        detector=detector,
        by=by,
        audit_entry=audit_entry,
        body=body,
        previous=head.digest,
        digest=chained(head.digest, body),
    )
    head.number, head.digest = entry.number, entry.digest
    head.save(update_fields=["number", "digest"])
    return entry
