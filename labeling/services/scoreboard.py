"""Silent versions side by side: what each would cost and bring, and what is missing before it may become active."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from detection.proof import Proof
from labeling.services import outcomes, proofs
from models_registry.models import Detector, GateReport, Stage, Version
from models_registry.services import boards, candidates, gates, snapshots, stages

WINDOW = timedelta(days=7)
COMPARED = (Stage.ACTIVE, Stage.SILENT)


@dataclass(frozen=True, slots=True)
class Standing:
    """One version over WINDOW."""

    version: Version
    positives: int  # sessions it would have alerted about
    hosts: int
    days: float
    unique_candidates: int
    confirmed: outcomes.Confirmed
    proof: Proof | None
    gate: GateReport | None  # newest at its threshold on the newest snapshot
    missing: list[str]  # nothing: two people may make it active

    @property
    def alerts(self) -> float | None:
        """Would-be alerts per 1,000 source hosts and day; None before there is traffic."""
        return self.positives / self.hosts / self.days * 1000 if self.hosts and self.days else None

    @property
    def percent(self) -> float | None:
        """The bound of precision that proof labels carry."""
        return proofs.percent(self.proof) if self.proof else None


def standings(detector: Detector, now: datetime) -> list[Standing]:
    """Return the active version and the silent ones, newest first."""
    versions = detector.versions.filter(stage__in=COMPARED).select_related("detector", "training_set")
    ordered = sorted(versions, key=lambda one: (COMPARED.index(Stage(one.stage)), -one.number))
    return [_standing(version, now - WINDOW) for version in ordered]


def _standing(version: Version, since: datetime) -> Standing:
    board = boards.board(version, since, hosts=False)
    seen = boards.seen(version, since)
    found = outcomes.confirmed(version, since)
    proof, gate = proofs.prove(version), _gate(version)
    return Standing(
        version,
        positives=board.covered.sessions + board.unique.sessions + board.uninspected_positive.sessions,
        hosts=seen.hosts,
        days=seen.days,
        unique_candidates=board.unique.sessions,
        confirmed=found,
        proof=proof,
        gate=gate,
        missing=_missing(version, found, proof, gate) if version.stage == Stage.SILENT else [],
    )


def _gate(version: Version) -> GateReport | None:
    newest = snapshots.newest_snapshot(version.detector)
    reports = version.gate_reports.filter(threshold=version.threshold, snapshot=newest)
    return reports.select_related("snapshot", "version__detector", "version__training_set").order_by("-id").first()


def _missing(version: Version, found: outcomes.Confirmed, proof: Proof | None, gate: GateReport | None) -> list[str]:
    """Return what is missing, the strongest first."""
    missing = []
    if snapshots.newest_snapshot(version.detector) is None:
        missing.append(_("a reference set"))
    elif gate is None or not gates.is_current(gate):
        missing.append(_("a gate report on the newest snapshot"))
    elif not gate.passed:
        missing.append(_("a gate that it passes"))
    if not candidates.coverage(version).complete:
        missing.append(_("scores of all stored traffic"))
    if found.false_positives:
        missing.append(
            ngettext(
                "an answer to %(n)s false positive that experts confirmed",
                "an answer to %(n)s false positives that experts confirmed",
                found.false_positives,
            )
            % {"n": found.false_positives}
        )
    if not found.unique:
        missing.append(_("a unique detect that experts confirmed"))
    if proof is None:
        missing.append(_("proof labels: nothing is known about its precision"))
    if not missing:
        asked = stages.proposals(version.detector).filter(version=version, new=Stage.ACTIVE).first()
        missing.append(_("the second person's approval") if asked else _("a proposal, and a second person"))
    return missing
