"""Erasing what a customer sent: the item's record, its reference rows, and the rows of files that were frozen with it.

What stays is a tombstone: that there was a row, its digest, and who asked for its end."""

from __future__ import annotations

from typing import Any

import numpy as np
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from detection.reference import SnapshotRow, read_snapshot, write_snapshot
from detection.sessions import COLUMN_NAMES, Row
from detection.training_rows import read_training_set, write_training_set
from labeling.models import Item, ItemRecord, ReferenceEvent, ReferenceRow
from labeling.services import reference, reference_events
from labeling.services.records import from_json, to_json
from models_registry.models import Detector, Snapshot, TrainingSet
from models_registry.services import snapshots

ERASED = "erased"


def erase(item: Item, by: User, reason: str) -> int:
    """Erase a complaint's item with all that was made of it; return how many frozen files lost rows of it."""
    with transaction.atomic():
        detector = Detector.objects.select_for_update().get(pk=item.detector_id)
        rows = list(ReferenceRow.objects.select_for_update().filter(item=item))
        keys = {item.subject_key, *(row.subject_key for row in rows)}
        for row in rows:
            _bury(row, by, reason)
        record = ItemRecord.objects.get(item=item)
        ItemRecord.objects.filter(pk=record.pk).update(
            row=to_json(_nothing(from_json(record.row))), raw="", scores="[]"
        )
        Item.objects.filter(pk=item.pk).update(title=ERASED)
    if rows:
        reference.publish_snapshot(detector)
    return sum(_without(frozen, keys) for frozen in _frozen(detector)) if rows else 0


def _bury(row: ReferenceRow, by: User, reason: str) -> None:
    """Retire a row, take its content away, and write down that it was."""
    in_force = row.retired_at is None
    erased = to_json(_nothing(from_json(row.row)))
    retired = {"retired_at": timezone.now(), "recheck_since": None} if in_force else {}
    ReferenceRow.objects.filter(pk=row.pk).update(row=erased, title=ERASED, host="?", **retired)
    kind = ReferenceEvent.Kind.RETIRED
    reference_events.record(row.detector, kind, by, row=row, reason="consent-withdrawn", note=reason, erased=row.digest)


def _nothing(row: Row) -> Row:
    """Return a row of the same protocol that tells nothing."""
    kept: dict[str, Any] = {"protocol": row.get("protocol"), "start": row.get("start"), "hits": []}
    return dict.fromkeys(COLUMN_NAMES) | kept


def _frozen(detector: Detector) -> list[Snapshot | TrainingSet]:
    return [*Snapshot.objects.filter(detector=detector), *TrainingSet.objects.filter(detector=detector)]


def _without(frozen: Snapshot | TrainingSet, keys: set[str]) -> bool:
    """Take the rows of these sessions out of a frozen file; False where it had none."""
    try:
        data = snapshots.read(frozen)
    except snapshots.GoneFile:
        return False
    if isinstance(frozen, Snapshot):
        rows: list[SnapshotRow] = read_snapshot(data)
        kept: list[SnapshotRow] = [row for row in rows if row.subject_key not in keys]
        if len(kept) == len(rows):
            return False
        snapshots.erase_rows(frozen, write_snapshot(kept), len(rows) - len(kept))
        return True
    learnt = read_training_set(data)
    left = np.array([at for at, key in enumerate(learnt.key) if key not in keys], dtype=np.intp)
    if len(left) == len(learnt):
        return False
    snapshots.erase_rows(frozen, write_training_set(learnt.take(left)), len(learnt) - len(left))
    return True
