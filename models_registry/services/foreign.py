"""Versions that were trained elsewhere: checked, then a candidate like any other, with its evidence.

Only ONNX enters, with LightGBM's text beside it for explanations and the parity of the gate. A model whose training
rows do not come along has an empty training set, frozen when it arrived: nothing older counts as later than that."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db import transaction
from django.db.models import Max

from accounts.models import User
from accounts.services import audit
from detection.contract import CONTRACTS
from detection.foreign import Inspected, inspect
from detection.scoring import RefusedModel
from detection.sessions import COLUMN_NAMES
from detection.training_rows import TrainingRows, read_training_set, write_training_set
from models_registry.models import Detector, LedgerKind, Stage, StageChange, TrainingSet, Version
from models_registry.services import ledger
from models_registry.services.snapshots import receive_training_set
from traffic import storage

LARGEST_TEXT = 128 * 2**20  # bytes


class ForeignRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Nothing was kept. `field` is what was wrong: model, text_model, training_set, threshold."""

    def __init__(self, field_: str, text: str) -> None:
        self.field = field_
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Offer:
    """What somebody hands in."""

    model: bytes  # ONNX
    text_model: bytes  # LightGBM's
    threshold: float
    training_set: bytes = b""  # the frozen file, where it came along
    evidence: dict[str, Any] = field(default_factory=dict)  # reports, figures, tags: kept as told
    origin: str = "upload"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.model).hexdigest()


def receive(detector: Detector, offer: Offer, by: User | None = None) -> tuple[Version, bool]:
    """Register a model as a candidate; the same ONNX again is the version there is. Raises ForeignRefused."""
    if known := detector.versions.filter(onnx_digest=offer.digest).order_by("number").first():
        return known, False
    if not 0.0 < offer.threshold < 1.0:
        raise ForeignRefused("threshold", f"expected a probability between 0 and 1, not {offer.threshold}")
    evidence = _storable(offer.evidence)
    if len(offer.text_model) > LARGEST_TEXT:
        raise ForeignRefused("text_model", f"the file has more than {LARGEST_TEXT:,} bytes")
    inspected = _inspected(detector, offer)
    rows = _training_rows(offer, inspected)
    folder = f"models/{detector.name}/{offer.digest}"
    storage.put_bytes(f"{folder}/model.onnx", offer.model)
    storage.put_bytes(f"{folder}/model.txt", offer.text_model)
    with transaction.atomic():
        frozen = _frozen(detector, offer, rows)
        Detector.objects.select_for_update().get(pk=detector.pk)  # numbers follow each other
        if known := detector.versions.filter(onnx_digest=offer.digest).first():
            return known, False
        version = Version.objects.create(
            detector=detector,
            number=(detector.versions.aggregate(newest=Max("number"))["newest"] or 0) + 1,
            stage=Stage.CANDIDATE,
            training_set=frozen,
            contract=inspected.contract,
            onnx_path=f"{folder}/model.onnx",
            onnx_digest=offer.digest,
            text_path=f"{folder}/model.txt",
            text_digest=hashlib.sha256(offer.text_model).hexdigest(),
            threshold=offer.threshold,
            report=_report(offer, evidence, rows),
            parameters={"foreign": {"origin": offer.origin, "evidence": evidence, "rows": inspected.rows}},
        )
        reason = f"came from outside: {offer.origin}"[:255]
        change = StageChange.objects.create(version=version, old="", new=Stage.CANDIDATE, reason=reason, by=by)
        audit.record(by, "version.imported", str(version), origin=offer.origin, digest=offer.digest)
        ledger.record(LedgerKind.VERSION, version, by=by, detector=detector, notes={"origin": offer.origin})
        ledger.record(LedgerKind.STAGE, change, ledger.claim(version, "stage"), by=by, detector=detector)
    return version, True


def _inspected(detector: Detector, offer: Offer) -> Inspected:
    try:
        inspected = inspect(offer.model, offer.text_model)
    except RefusedModel as error:
        wrong = "text_model" if str(error).startswith("the text model") else "model"
        raise ForeignRefused(wrong, str(error)) from error
    if CONTRACTS[inspected.contract].name != detector.protocol:
        raise ForeignRefused(
            "model", f"{detector} is about {detector.protocol}, the model reads {inspected.contract} sessions"
        )
    if inspected.mismatches:
        raise ForeignRefused(
            "text_model",
            f"it is not the model's: they differ on {inspected.mismatches} of {inspected.rows} made-up sessions",
        )
    return inspected


def _training_rows(offer: Offer, inspected: Inspected) -> TrainingRows | None:
    """Return the rows that came along; None without any."""
    if not offer.training_set:
        return None
    named = inspected.metadata.get("training_set_digest")
    if named and named != hashlib.sha256(offer.training_set).hexdigest():
        raise ForeignRefused("training_set", "it is not the one that the model names")
    try:
        return read_training_set(offer.training_set)
    except (ValueError, KeyError, TypeError, OSError, EOFError) as error:
        raise ForeignRefused("training_set", f"it cannot be read: {str(error)[:200]}") from error


def _frozen(detector: Detector, offer: Offer, rows: TrainingRows | None) -> TrainingSet:
    if rows is None:
        counts: dict[str, Any] = {"foreign": offer.origin}
        return receive_training_set(detector, write_training_set(_no_rows()), rows=0, counts=counts)
    known = detector.training_sets.filter(digest=hashlib.sha256(offer.training_set).hexdigest()).first()
    counts = {"foreign": offer.origin, "positive": int(rows.label.sum())}
    return known or receive_training_set(detector, offer.training_set, rows=len(rows), counts=counts)


def _no_rows() -> TrainingRows:
    columns: dict[str, list[Any]] = {name: [] for name in COLUMN_NAMES}
    return TrainingRows(columns, np.zeros(0, np.int8), np.zeros(0), [], [], [], [])


def _storable(evidence: dict[str, Any]) -> dict[str, Any]:
    """Return evidence as every database keeps it: without NUL; numbers that JSON does not have are refused."""
    try:
        text = json.dumps(evidence, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise ForeignRefused("evidence", f"it cannot be kept as JSON: {error}") from error
    kept: dict[str, Any] = _without_nul(json.loads(text))
    return kept


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, list):
        return [_without_nul(one) for one in value]
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(one) for name, one in value.items()}
    return value


def _report(offer: Offer, evidence: dict[str, Any], rows: TrainingRows | None) -> dict[str, Any]:
    """Return the report that came along, where it is one of ours; else what is known, which is little."""
    told = evidence.get("report")
    if isinstance(told, dict) and "counts" in told:
        return told
    positive = int(rows.label.sum()) if rows else 0
    total = len(rows) if rows else 0
    note = f"It came from outside ({offer.origin}): how it was trained is not known here."
    return {
        "notes": [note],
        "counts": {"rows": total, "positive": positive, "negative": total - positive, "groups": 0, "origins": {}},
        "leave_one_source_out": {"sources": []},
        "source_features": [],
        "importance": [],
    }
