"""Other rules, or another price of a false positive: proposed by one, in force when a second person agrees."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from models_registry.models import Detector, DetectorDecision, DetectorProposal, LedgerKind, RuleMappingVersion
from models_registry.services import ledger
from models_registry.services.detectors import DetectorError, check_cost, read_mapping
from models_registry.services.two_people import PARTNER, ChangeRefused, reason_of, refusal


def proposals(detector: Detector | None = None) -> QuerySet[DetectorProposal]:
    """Return the proposals that wait for their second person."""
    waiting = DetectorProposal.objects.waiting().select_related("detector", "after", "by")
    return waiting.filter(detector=detector) if detector else waiting


@transaction.atomic
def propose(
    detector: Detector, by: User, *, rules: Any = None, cost: float | None = None, reason: str = ""
) -> DetectorProposal:
    """Ask the second person to agree; what is left out stays, and an equal proposal that waits is returned.

    Raises ChangeRefused."""
    _refuse_role(by)
    detector = _locked(detector)
    after = detector.mapping
    try:
        mapping, digest = _rules(after, rules)
        cost = detector.false_positive_cost if cost is None else check_cost(cost)
    except DetectorError as error:
        raise ChangeRefused(str(error)) from error
    if digest == after.digest and cost == detector.false_positive_cost:
        raise ChangeRefused(_("These rules and this price are in force already."))
    if equal := proposals(detector).filter(digest=digest, new_cost=cost).first():
        return equal
    proposal = DetectorProposal.objects.create(
        detector=detector,
        after=after,
        old_cost=detector.false_positive_cost,
        mapping=mapping,
        digest=digest,
        new_cost=cost,
        reason=reason_of(reason),
        by=by,
        role=by.role,
    )
    audit.record(by, "detector.proposed", detector.name, proposal=proposal.pk, rules=digest, cost=cost)
    return proposal


@transaction.atomic
def approve(proposal: DetectorProposal, by: User) -> DetectorDecision:
    """Agree as the second person and put it in force; a proposal that is approved already changes nothing.

    Raises ChangeRefused."""
    _refuse_role(by)
    detector = _locked(proposal.detector)
    if (decision := _decision(proposal)) is not None:
        if decision.outcome == DetectorDecision.Outcome.APPROVED:
            return decision
        raise ChangeRefused(_("The proposal was declined by %(by)s.") % {"by": decision.by})
    if told := refusal(proposal, by):
        raise ChangeRefused(told)
    if detector.mapping.pk != proposal.after_id or detector.false_positive_cost != proposal.old_cost:
        raise ChangeRefused(_("Other rules or another price took effect since: propose again."))
    mapping = _put_in_force(detector, proposal, by) if proposal.changes_rules else None
    Detector.objects.filter(pk=detector.pk).update(false_positive_cost=proposal.new_cost)
    decision = DetectorDecision.objects.create(
        proposal=proposal, outcome=DetectorDecision.Outcome.APPROVED, mapping=mapping, by=by, role=by.role
    )
    audit.record(by, "detector.approved", detector.name, proposal=proposal.pk, rules=proposal.digest)
    price = ledger.claim(detector, "false_positive_cost")
    ledger.record(LedgerKind.APPROVAL, decision, proposal, price, by=by, detector=detector)
    if mapping is not None:
        ledger.record(LedgerKind.MAPPING, mapping, by=by, detector=detector)
    return decision


@transaction.atomic
def decline(proposal: DetectorProposal, by: User, reason: str) -> DetectorDecision:
    """Say no, or take one's own proposal back; the reason is kept. Raises ChangeRefused."""
    _refuse_role(by)
    _locked(proposal.detector)
    if not (reason := reason_of(reason)):
        raise ChangeRefused(_("Say why: the person who proposed it will read the reason."))
    if (decision := _decision(proposal)) is not None:
        raise ChangeRefused(_("%(by)s has decided already: %(what)s.") % {"by": decision.by, "what": decision.outcome})
    decision = DetectorDecision.objects.create(
        proposal=proposal, outcome=DetectorDecision.Outcome.DECLINED, reason=reason, by=by, role=by.role
    )
    audit.record(by, "detector.declined", proposal.detector.name, proposal=proposal.pk, reason=reason)
    ledger.record(LedgerKind.APPROVAL, decision, proposal, by=by, detector=proposal.detector)
    return decision


def _rules(after: RuleMappingVersion, rules: Any) -> tuple[dict[str, Any], str]:
    """Return the rules that are proposed, with their digest."""
    if rules is None:
        return after.mapping, after.digest
    mapping = read_mapping(rules)
    return mapping.to_dict(), mapping.digest


def _put_in_force(detector: Detector, proposal: DetectorProposal, by: User) -> RuleMappingVersion:
    return detector.mappings.create(
        number=detector.mapping.number + 1,
        mapping=proposal.mapping,
        digest=proposal.digest,
        made_by=proposal.by,
        approved_by=by,
    )


def _locked(detector: Detector) -> Detector:
    """Return the detector as it is now; one writer each, so that two decisions follow each other."""
    return Detector.objects.select_for_update().get(pk=detector.pk)


def _decision(proposal: DetectorProposal) -> DetectorDecision | None:
    return DetectorDecision.objects.filter(proposal=proposal).select_related("by").first()


def _refuse_role(by: User) -> None:
    if not by.has_role(*PARTNER):
        raise ChangeRefused(_("Detectors are for an engineer and a senior expert."))
