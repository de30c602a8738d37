"""Frozen files handed down by the workshop: the store keeps them and knows them by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, TypeVar

from django.db import transaction

from models_registry.models import Detector, Erasure, LedgerKind, Snapshot, TrainingSet
from models_registry.services import ledger
from traffic import storage

CHUNK = 1 << 18  # bytes
Frozen = TypeVar("Frozen", Snapshot, TrainingSet)


class DamagedFile(RuntimeError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """A frozen file is gone, or not what it was."""


class GoneFile(DamagedFile):
    """A frozen file is not there."""


def receive_snapshot(detector: Detector, data: bytes, *, rows: int, counts: dict[str, Any]) -> Snapshot:
    """Keep a snapshot of the reference set; the same bytes as the newest one give that one back."""
    return _receive(Snapshot, detector, data, f"reference/{detector.name}", "jsonl.gz", rows=rows, counts=counts)


def receive_training_set(detector: Detector, data: bytes, *, rows: int, counts: dict[str, Any]) -> TrainingSet:
    """Keep a training set; the same bytes as the newest one give that one back."""
    return _receive(TrainingSet, detector, data, f"training/{detector.name}", "bin", rows=rows, counts=counts)


def read(frozen: Snapshot | TrainingSet) -> bytes:
    """Return the bytes of a frozen file; GoneFile, or DamagedFile when its digest is not the one recorded."""
    try:
        data = storage.get_bytes(frozen.path)
    except FileNotFoundError:
        raise GoneFile(f"{frozen.path} is gone: restore it from a backup") from None
    if hashlib.sha256(data).hexdigest() != digest_now(frozen.path, frozen.digest):
        raise DamagedFile(f"{frozen.path} has changed since it was frozen: restore it from a backup")
    return data


def digest_now(path: str, digest: str) -> str:
    """Return the digest a frozen file has: as it was frozen, or since rows of it were erased."""
    erased = Erasure.objects.filter(path=path).order_by("-id").first()
    return erased.digest if erased else digest


def erase_rows(frozen: Snapshot | TrainingSet, data: bytes, rows: int) -> Erasure:
    """Put a frozen file without some rows in the place of the whole one, and write down that it was done."""
    digest = hashlib.sha256(data).hexdigest()
    with transaction.atomic():  # the row first: a file that nobody can explain would be called damaged
        before = digest_now(frozen.path, frozen.digest)
        erased = Erasure.objects.create(path=frozen.path, old_digest=before, digest=digest, rows=rows)
        ledger.record(LedgerKind.ERASURE, erased, detector=frozen.detector, subject=str(frozen))
        storage.put_bytes(frozen.path, data)
    return erased


def chunks(frozen: Snapshot | TrainingSet) -> Iterator[bytes]:
    """Yield the bytes of a frozen file, never all at once."""
    with storage.open_input(frozen.path) as file:
        while chunk := file.read(CHUNK):
            yield bytes(chunk)


def newest_snapshot(detector: Detector) -> Snapshot | None:
    """Return the newest snapshot of a detector's reference set, if there is one."""
    return detector.snapshots.order_by("-number").first()


def _receive(
    model: type[Frozen], detector: Detector, data: bytes, folder: str, suffix: str, *, rows: int, counts: dict[str, Any]
) -> Frozen:
    digest = hashlib.sha256(data).hexdigest()
    with transaction.atomic():
        Detector.objects.select_for_update().get(pk=detector.pk)  # numbers follow each other
        newest = model._default_manager.filter(detector=detector).order_by("-number").first()
        if newest is not None and newest.digest == digest:
            return newest
        path = f"{folder}/{digest}.{suffix}"
        storage.put_bytes(path, data)
        frozen = model._default_manager.create(
            detector=detector,
            number=newest.number + 1 if newest else 1,
            digest=digest,
            path=path,
            rows=rows,
            counts=counts,
        )
        kind = LedgerKind.SNAPSHOT if model is Snapshot else LedgerKind.TRAINING_SET
        ledger.record(kind, frozen, detector=detector)
    return frozen
