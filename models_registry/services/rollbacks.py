"""Emergency: one person takes an active version out at once; the second person looks at it afterwards.

Nothing new ships this way. What becomes active again is what two people had agreed to before, or nothing."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from models_registry.models import (
    Detector,
    LedgerKind,
    Rollback,
    RollbackReview,
    Stage,
    StageChange,
    StageDecision,
    Version,
)
from models_registry.services import ledger, versions
from models_registry.services.two_people import PARTNER, may_approve, reason_of, refusal


class RollbackRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Nothing was changed; the message says why, for the person who asked."""


def pending(detector: Detector | None = None) -> QuerySet[Rollback]:
    """Return the rollbacks that nobody has looked at."""
    waiting = Rollback.objects.filter(review=None)
    waiting = waiting.select_related("change__version__detector", "restored__version__detector", "by")
    return waiting.filter(change__version__detector=detector) if detector else waiting


def former(version: Version) -> Version | None:
    """Return what a rollback of an active version would make active again: what it displaced when two agreed to it.

    Always further back: a version that was rolled back comes again only by two people."""
    approved = StageDecision.objects.filter(outcome=StageDecision.Outcome.APPROVED, proposal__new=Stage.ACTIVE)
    decision = approved.filter(proposal__version=version).select_related("proposal").order_by("-id").first()
    if decision is None or decision.proposal.displaces_id is None:
        return None
    return Version.objects.select_related("detector").get(pk=decision.proposal.displaces_id)


@transaction.atomic
def roll_back(version: Version, by: User, reason: str) -> Rollback:
    """Take an active version out, and put the one before it in its place. Raises RollbackRefused."""
    if not by.has_role(*PARTNER):
        raise RollbackRefused(_("Stages are for an engineer and a senior expert."))
    if not (reason := reason_of(reason)):
        raise RollbackRefused(_("Say why: the person who looks at it afterwards will read the reason."))
    Detector.objects.select_for_update().get(pk=version.detector_id)
    version = Version.objects.select_related("detector").get(pk=version.pk)
    if version.stage != Stage.ACTIVE:
        raise RollbackRefused(
            _("%(version)s is %(stage)s: only an active version is rolled back.")
            % {"version": version, "stage": version.get_stage_display()}
        )
    change = versions.change_stage(version, Stage.SILENT, reason=reason, by=by)
    made = Rollback.objects.create(change=change, restored=_restore(version, by), reason=reason, by=by, role=by.role)
    audit.record(by, "stage.rolled-back", str(made), reason=reason)
    ledger.record(LedgerKind.ROLLBACK, made, by=by, detector=version.detector)
    return made


@transaction.atomic
def review(rollback: Rollback, by: User, outcome: str, note: str = "") -> RollbackReview:
    """Say afterwards whether it was right; who objects says why, and proposes what should run. RollbackRefused."""
    detector = Detector.objects.select_for_update().get(pk=rollback.change.version.detector_id)
    if not by.has_role(*PARTNER) or not may_approve(rollback, by):
        raise RollbackRefused(refusal(rollback, by) or _("Stages are for an engineer and a senior expert."))
    if outcome not in RollbackReview.Outcome.values:
        raise RollbackRefused(_("Agree or object."))
    if outcome == RollbackReview.Outcome.OBJECTED and not reason_of(note):
        raise RollbackRefused(_("Say why you object."))
    if (known := RollbackReview.objects.filter(rollback=rollback).select_related("by").first()) is not None:
        raise RollbackRefused(_("%(by)s has looked at it already.") % {"by": known.by})
    made = RollbackReview.objects.create(rollback=rollback, outcome=outcome, note=reason_of(note), by=by, role=by.role)
    audit.record(by, f"rollback.{outcome}", str(rollback), note=made.note)
    ledger.record(LedgerKind.REVIEW, made, by=by, detector=detector)
    return made


def _restore(version: Version, by: User) -> StageChange | None:
    before = former(version)
    if before is None:
        return None
    reason = _("%(version)s was rolled back") % {"version": version}
    return versions.change_stage(before, Stage.ACTIVE, reason=reason, by=by)
