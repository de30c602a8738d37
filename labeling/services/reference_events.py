"""The record of what happened to a reference set: events in a chain of digests, and their copy for the ledger."""

from __future__ import annotations

from typing import Any

from accounts.models import User
from accounts.services import audit
from detection.reference import event_digest
from labeling.models import LedgerMail, ReferenceEvent, ReferenceProposal, ReferenceRow
from models_registry.models import Detector

Kind = ReferenceEvent.Kind
FOR_THE_LEDGER = (Kind.SPENT, Kind.RETIRED, Kind.CORRECTED, Kind.IMPORTED)  # what changes which rows gate


def record(
    detector: Detector,
    kind: ReferenceEvent.Kind,
    by: User | None,
    *,
    row: ReferenceRow | None = None,
    proposal: ReferenceProposal | None = None,
    **details: Any,
) -> ReferenceEvent:
    """Add one event. Call it in the transaction that does what it tells of, with the detector locked."""
    newest = ReferenceEvent.objects.filter(detector=detector).order_by("-number").first()
    number, previous = (newest.number + 1, newest.digest) if newest else (1, "")
    told = {
        "number": number,
        "detector": detector.name,
        "kind": kind.value,
        "row": row.digest if row else "",
        "by": by.username if by else "",
        "role": by.role if by else "",
        "details": details,
    }
    event = ReferenceEvent.objects.create(
        detector=detector,
        number=number,
        kind=kind,
        row=row,
        proposal=proposal,
        details=details,
        by=by,
        role=by.role if by else "",
        previous=previous,
        digest=event_digest(previous, told),
    )
    if kind in FOR_THE_LEDGER:
        LedgerMail.objects.create(event=event)
    audit.record(by, f"reference.{kind.value}", detector.name, row=row.pk if row else None, event=number)
    return event


def broken(detector: Detector) -> int | None:
    """Return the number of the first event that is not what its digest says, or that is missing; None: all hold."""
    previous = ""
    events = ReferenceEvent.objects.filter(detector=detector).select_related("row", "by").order_by("number")
    for number, event in enumerate(events.iterator(chunk_size=500), start=1):
        told = {
            "number": number,
            "detector": detector.name,
            "kind": event.kind,
            "row": event.row.digest if event.row else "",
            "by": event.by.username if event.by else "",
            "role": event.role,
            "details": event.details,
        }
        if event.number != number or event.previous != previous or event.digest != event_digest(previous, told):
            return number
        previous = event.digest
    return None
