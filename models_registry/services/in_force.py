"""What ran at a moment, and why: answered from rows that are only ever added."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from models_registry.models import (
    Bundle,
    BundleEntry,
    Detector,
    DetectorDecision,
    GateReport,
    LedgerEntry,
    LedgerKind,
    RuleMappingVersion,
    Stage,
    StageChange,
    StageDecision,
    Version,
)
from models_registry.services import ledger

RUNNING = (Stage.ACTIVE, Stage.SILENT)
ENTRIES = 10  # newest entries about a detector, up to the moment


@dataclass(frozen=True, slots=True)
class Ran:
    """A version that was active or silent, with what let it be so."""

    version: Version
    stage: Stage
    change: StageChange
    decision: StageDecision | None  # None: a first version, or a change that was no release
    gate: GateReport | None
    entries: list[BundleEntry]  # of bundles that held it, newest first
    entry: LedgerEntry | None  # of the change


@dataclass(frozen=True, slots=True)
class Then:
    """A detector as it was at a moment."""

    detector: Detector
    mapping: RuleMappingVersion | None
    cost: float  # of a false positive, in missed detections
    ran: list[Ran]  # the active version first
    bundle: Bundle | None  # the newest that spoke for the detector
    entries: list[LedgerEntry]

    @property
    def active(self) -> Ran | None:
        return next((one for one in self.ran if one.stage == Stage.ACTIVE), None)


def what_ran(at: datetime) -> list[Then]:
    """Return every detector that existed at a moment, and which of its versions ran then."""
    return [_then(detector, at) for detector in Detector.objects.filter(created_at__lte=at)]


def _then(detector: Detector, at: datetime) -> Then:
    ran = [_ran(change, at) for change in _newest_changes(detector, at) if change.new in RUNNING]
    loud = BundleEntry.objects.filter(version__detector=detector, is_silent=False, bundle__created_at__lte=at)
    entry = loud.select_related("bundle").order_by("-bundle_id").first()
    known = LedgerEntry.objects.filter(detector=detector, at__lte=at).select_related("by")
    return Then(
        detector,
        detector.mappings.filter(created_at__lte=at).order_by("-number").first(),
        _cost(detector, at),
        sorted(ran, key=lambda one: (RUNNING.index(one.stage), -one.version.number)),
        entry.bundle if entry else None,
        list(known[:ENTRIES]),
    )


def _newest_changes(detector: Detector, at: datetime) -> list[StageChange]:
    changes = StageChange.objects.filter(version__detector=detector, at__lte=at).order_by("id")
    newest = {change.version_id: change for change in changes.select_related("version__detector", "by")}
    return list(newest.values())


def _ran(change: StageChange, at: datetime) -> Ran:
    decision = _decision(change)
    asked = decision.gate_report or decision.proposal.gate_report if decision else None
    entries: QuerySet[BundleEntry] = BundleEntry.objects.filter(version=change.version, bundle__created_at__lte=at)
    return Ran(
        change.version,
        Stage(change.new),
        change,
        decision,
        asked or change.version.gate_reports.filter(created_at__lte=at).first(),
        list(entries.select_related("bundle").order_by("-bundle_id")[:3]),
        ledger.about(change),
    )


def _decision(change: StageChange) -> StageDecision | None:
    """Return what two people agreed to: this change, or what came back with it when a later one was rolled back."""
    agreed = StageDecision.objects.filter(outcome=StageDecision.Outcome.APPROVED)
    agreed = agreed.select_related("by", "proposal__by", "gate_report")
    own = agreed.filter(change=change).first()
    if own is not None or change.new != Stage.ACTIVE:
        return own
    before = agreed.filter(proposal__version=change.version_id, proposal__new=Stage.ACTIVE, change__lt=change.pk)
    return before.order_by("-id").first()


def _cost(detector: Detector, at: datetime) -> float:
    """Return the price then: what the first decision after the moment found in force, or what is in force now."""
    approved = DetectorDecision.objects.filter(outcome=DetectorDecision.Outcome.APPROVED, at__gt=at)
    later = approved.filter(proposal__detector=detector).select_related("proposal").order_by("at", "id").first()
    return later.proposal.old_cost if later else detector.false_positive_cost


def entries_of(detector: Detector | None, kind: str) -> QuerySet[LedgerEntry]:
    """Return the entries about a detector, of a kind; bundles of several detectors belong to each of them."""
    found = LedgerEntry.objects.select_related("detector", "by")
    if detector is not None:
        shared = LedgerEntry.objects.filter(
            kind=LedgerKind.BUNDLE, detector=None, subject__contains=f" {detector.name}:"
        )
        found = found.filter(detector=detector) | found.filter(pk__in=shared.values("pk"))
    return found.filter(kind=kind) if kind in LedgerKind.values else found
