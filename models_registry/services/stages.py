"""Stages by two people: an engineer and a senior expert, different accounts. Nobody approves his own proposal."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from models_registry.models import (
    Detector,
    GateReport,
    LedgerKind,
    Stage,
    StageChange,
    StageDecision,
    StageProposal,
    Version,
)
from models_registry.services import gates, ledger, snapshots, versions
from models_registry.services.two_people import PARTNER, reason_of, refusal

MOVES: dict[Stage, tuple[Stage, ...]] = {
    Stage.CANDIDATE: (Stage.SILENT, Stage.RETIRED),
    Stage.SILENT: (Stage.ACTIVE, Stage.RETIRED),
    Stage.ACTIVE: (Stage.SILENT, Stage.RETIRED),
    Stage.RETIRED: (),
}
DISPLACED_TO = (Stage.RETIRED, Stage.SILENT)  # what may become of the version that was active


class StageRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Nothing was changed; the message says why, for the person who asked."""


def proposals(detector: Detector | None = None) -> QuerySet[StageProposal]:
    """Return the proposals that wait for their second person."""
    waiting = StageProposal.objects.waiting().select_related("version__detector", "by", "gate_report", "displaces")
    return waiting.filter(version__detector=detector) if detector else waiting


@transaction.atomic
def propose(
    version: Version, new_stage: str, by: User, *, reason: str = "", displaced_to: str = Stage.RETIRED
) -> StageProposal:
    """Ask the second person to agree to another stage; an equal proposal that waits is returned, not doubled.

    Raises StageRefused."""
    _refuse_role(by)
    version = _locked(version)
    new = _move(version, new_stage)
    if displaced_to not in DISPLACED_TO:
        raise StageRefused(_("The active version becomes silent or retired, not “%(to)s”.") % {"to": displaced_to})
    former = _active(version.detector) if new is Stage.ACTIVE else None
    waiting = proposals().filter(version=version, new=new, displaces=former)
    if former:
        waiting = waiting.filter(displaced_to=displaced_to)
    if (equal := waiting.first()) is not None:
        return equal
    proposal = StageProposal.objects.create(
        version=version,
        old=version.stage,
        new=new,
        after=_newest_change(version),
        gate_report=_passed_gate(version) if new is Stage.ACTIVE else None,
        displaces=former,
        displaced_to=displaced_to if former else "",
        reason=reason_of(reason),
        by=by,
        role=by.role,
    )
    audit.record(by, "stage.proposed", str(version), proposal=proposal.pk, old=proposal.old, new=proposal.new)
    return proposal


@transaction.atomic
def approve(proposal: StageProposal, by: User) -> StageDecision:
    """Agree as the second person and change the stage; a proposal that is approved already changes nothing.

    Raises StageRefused."""
    _refuse_role(by)
    version = _locked(proposal.version)
    if (decision := _decision(proposal)) is not None:
        if decision.outcome == StageDecision.Outcome.APPROVED:
            return decision
        raise StageRefused(_("The proposal was declined by %(by)s.") % {"by": decision.by})
    _refuse_approver(proposal, by)
    _refuse_overtaken(proposal, version)
    gate = _passed_gate(version) if proposal.new == Stage.ACTIVE else None
    if proposal.displaces:
        _displace(proposal.displaces, proposal, by)
    reason = proposal.reason or _("proposed by %(by)s") % {"by": proposal.by}
    change = versions.change_stage(version, Stage(proposal.new), reason=reason, by=by)
    decision = StageDecision.objects.create(
        proposal=proposal,
        outcome=StageDecision.Outcome.APPROVED,
        change=change,
        gate_report=gate,
        by=by,
        role=by.role,
    )
    audit.record(by, "stage.approved", str(version), proposal=proposal.pk, old=proposal.old, new=proposal.new)
    ledger.record(LedgerKind.APPROVAL, decision, proposal, by=by, detector=version.detector)
    return decision


@transaction.atomic
def decline(proposal: StageProposal, by: User, reason: str) -> StageDecision:
    """Say no, or take one's own proposal back; the reason is kept. Raises StageRefused."""
    _refuse_role(by)
    version = _locked(proposal.version)
    if not (reason := reason_of(reason)):
        raise StageRefused(_("Say why: the person who proposed it will read the reason."))
    if (decision := _decision(proposal)) is not None:
        raise StageRefused(_("%(by)s has decided already: %(what)s.") % {"by": decision.by, "what": decision.outcome})
    decision = StageDecision.objects.create(
        proposal=proposal, outcome=StageDecision.Outcome.DECLINED, reason=reason, by=by, role=by.role
    )
    audit.record(by, "stage.declined", str(version), proposal=proposal.pk, reason=reason)
    ledger.record(LedgerKind.APPROVAL, decision, proposal, by=by, detector=version.detector)
    return decision


def _locked(version: Version) -> Version:
    """Return the version as it is now; one writer per detector, so that two promotions follow each other."""
    Detector.objects.select_for_update().get(pk=version.detector_id)
    return Version.objects.select_related("detector", "training_set").get(pk=version.pk)


def _move(version: Version, new_stage: str) -> Stage:
    if new_stage == version.stage:
        raise StageRefused(
            _("%(version)s is %(stage)s already.") % {"version": version, "stage": version.get_stage_display()}
        )
    allowed = MOVES[Stage(version.stage)]
    if new_stage not in allowed:
        raise StageRefused(
            _("%(version)s is %(stage)s; from there it may become: %(allowed)s.")
            % {
                "version": version,
                "stage": version.get_stage_display(),
                "allowed": ", ".join(str(stage.label) for stage in allowed) or _("nothing"),
            }
        )
    return Stage(new_stage)


def _active(detector: Detector) -> Version | None:
    return detector.versions.filter(stage=Stage.ACTIVE).first()


def _newest_change(version: Version) -> StageChange | None:
    return version.stage_changes.order_by("-id").first()


def _decision(proposal: StageProposal) -> StageDecision | None:
    return StageDecision.objects.filter(proposal=proposal).select_related("by").first()


def _refuse_role(by: User) -> None:
    if not by.has_role(*PARTNER):
        raise StageRefused(_("Stages are for an engineer and a senior expert."))


def _refuse_approver(proposal: StageProposal, by: User) -> None:
    if told := refusal(proposal, by):
        raise StageRefused(told)


def _refuse_overtaken(proposal: StageProposal, version: Version) -> None:
    newest = _newest_change(version)
    if version.stage != proposal.old or (newest and newest.pk != proposal.after_id):
        raise StageRefused(
            _("%(version)s has moved since and is %(stage)s now: propose again.")
            % {"version": version, "stage": version.get_stage_display()}
        )
    active = _active(version.detector)
    if proposal.new == Stage.ACTIVE and active != proposal.displaces:
        raise StageRefused(
            _("The active version is %(now)s now, not %(then)s as when this was proposed: propose again.")
            % {"now": active or "–", "then": proposal.displaces or "–"}
        )


def _displace(former: Version, proposal: StageProposal, by: User) -> None:
    former.refresh_from_db(fields=["stage"])
    reason = _("%(version)s takes its place") % {"version": proposal.version}
    versions.change_stage(former, Stage(proposal.displaced_to), reason=reason, by=by)


def _passed_gate(version: Version) -> GateReport:
    """Return the report that lets the version out: at its threshold, on the newest snapshot, about what is in force."""
    snapshot = snapshots.newest_snapshot(version.detector)
    if snapshot is None:
        raise StageRefused(_("%(detector)s has no reference set yet.") % {"detector": version.detector})
    found = version.gate_reports.filter(threshold=version.threshold, snapshot=snapshot).order_by("-id").first()
    if found is None or not gates.is_current(found):
        raise StageRefused(
            _("%(version)s is not gated at %(threshold)s on snapshot %(number)s: run the gate first.")
            % {"version": version, "threshold": version.threshold, "number": snapshot.number}
        )
    if not found.passed:
        raise StageRefused(str(found.report["sentence"]))
    return found
