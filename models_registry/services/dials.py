"""The threshold dial of a version: what stored scores say of every threshold, and proposals off it by two people."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from numpy.typing import NDArray

from accounts.models import User
from accounts.services import audit
from detection import dial, proposal
from detection.contract import encode
from detection.dial import Forward, Known, Step
from detection.proposal import Proposal
from detection.reference import POSITIVE, REGRESSION, read_snapshot
from detection.sessions import COLUMN_NAMES
from models_registry.models import LedgerKind, ScoreFile, ThresholdDecision, ThresholdProposal, Version
from models_registry.services import ledger, snapshots, versions, weeks
from models_registry.services.two_people import PARTNER, ChangeRefused, reason_of, refusal
from traffic import storage

HIGHEST_COST = 1e6


@dataclass(frozen=True, slots=True)
class Dial:
    """Everything the page shows: a step per threshold, and the scores behind them on the same scale."""

    version: Version
    steps: list[Step]
    counts: NDArray[np.int64]  # of the week, per step; below the first one too
    known: Known
    forward: Forward | None
    days: float  # of traffic; 0 without any
    proposed: Proposal | None
    why_not: str  # there is no proposal

    def nearest(self, threshold: float) -> Step:
        return min(self.steps, key=lambda step: abs(step.threshold - threshold))


def dial_of(
    version: Version,
    *,
    forward: Forward | None,
    false_positive_cost: float,
    miss_cost: float,
    also: float | None = None,
) -> Dial:
    """Return the dial of a version. The proposal is the cheapest cut through the regression rows at these costs."""
    known = _known(version)
    proposed, why_not = _proposed(known, false_positive_cost / miss_cost)
    named = [version.threshold, *([proposed.threshold] if proposed else []), *([also] if also else [])]
    thresholds = dial.scale(*named)
    week = weeks.last_week(version.detector.protocol)
    counts = _counted(version, thresholds, week)
    days = week.days if week else 0.0
    steps = dial.steps(thresholds, counts, days or 1.0, known, forward)
    return Dial(version, steps, counts, known, forward, days, proposed, why_not)


def _counted(version: Version, thresholds: list[float], week: weeks.Week | None) -> NDArray[np.int64]:
    """Return the week's scores between the thresholds, a batch of rows in memory at a time."""
    at = dial.edges(thresholds)
    counts = np.zeros(len(at) + 1, np.int64)
    if week is None:
        return counts
    files = ScoreFile.objects.filter(version=version, segment__in=week.segments).exclude(path="")
    if paths := list(files.values_list("path", flat=True)):
        for batch in storage.dataset(paths).to_batches(columns=["raw"]):
            counts += dial.counted(batch["raw"].to_numpy(zero_copy_only=False), at)
    return counts


def _known(version: Version) -> Known:
    snapshot = snapshots.newest_snapshot(version.detector)
    rows = [row for row in read_snapshot(snapshots.read(snapshot)) if row.role == REGRESSION] if snapshot else []
    raw = np.zeros(0)
    if rows:
        columns = {name: [row.row.get(name) for row in rows] for name in COLUMN_NAMES}
        raw = versions.scorer(version).raw(encode(versions.contract(version), columns))
    return Known(
        raw=np.asarray(raw, np.float64),
        positive=np.array([row.answer == POSITIVE for row in rows], np.bool_),
        rule_hit=np.array([row.rule_hit for row in rows], np.bool_),
    )


def _proposed(known: Known, cost: float) -> tuple[Proposal | None, str]:
    if known.positive.all() or not known.positive.any():
        return None, _("a threshold needs labels of both classes")
    if not 0 < cost < math.inf:
        return None, _("one cost is out of all proportion to the other")
    label = known.positive.astype(np.int8)
    return proposal.propose(known.raw, label, np.ones(len(label)), false_positive_cost=cost), ""


# ---- two people


@transaction.atomic
def propose(
    version: Version, step: Step, by: User, *, false_positive_cost: float, miss_cost: float, reason: str = ""
) -> ThresholdProposal:
    """Ask the second person to agree that a version leaves at a threshold; an equal one that waits is returned.

    Raises ChangeRefused."""
    _refuse_role(by)
    if not all(math.isfinite(cost) and 0 < cost <= HIGHEST_COST for cost in (false_positive_cost, miss_cost)):
        raise ChangeRefused(_("A cost is a number above 0."))
    if equal := waiting(version).filter(threshold=step.threshold).first():
        return equal
    made = ThresholdProposal.objects.create(
        version=version,
        threshold=step.threshold,
        false_positive_cost=false_positive_cost,
        miss_cost=miss_cost,
        figures=step.to_dict(),
        reason=reason_of(reason),
        by=by,
        role=by.role,
    )
    audit.record(by, "threshold.proposed", str(version), proposal=made.pk, threshold=step.threshold)
    return made


def waiting(version: Version) -> QuerySet[ThresholdProposal]:
    """Return the proposals that wait for their second person."""
    return ThresholdProposal.objects.filter(version=version, decision=None).select_related("version__detector", "by")


def approved(version: Version) -> list[ThresholdProposal]:
    """Return the thresholds that two people agreed on, the newest first."""
    outcome = ThresholdDecision.Outcome.APPROVED
    found = ThresholdProposal.objects.filter(version=version, decision__outcome=outcome)
    return list(found.select_related("by", "decision__by"))


def agreed(version: Version) -> list[float]:
    """Return the thresholds at which a version may speak: its own, and what two people agreed on, the newest first."""
    return list(dict.fromkeys([version.threshold, *(one.threshold for one in approved(version))]))


def objection(version: Version, threshold: float) -> str:
    """Return why a version may not speak at a threshold: nobody agreed on it. Empty when it may."""
    if threshold in (known := agreed(version)):
        return ""
    return _(
        "%(version)s at %(threshold)s: two people agreed on %(agreed)s, not on this threshold. Propose it on the dial."
    ) % {
        "version": version,
        "threshold": threshold,
        "agreed": ", ".join(map(str, known)),
    }


@transaction.atomic
def decide(asked: ThresholdProposal, by: User, *, approve: bool, reason: str = "") -> ThresholdDecision:
    """Agree as the second person, or say no with a reason. Raises ChangeRefused."""
    _refuse_role(by)
    Version.objects.select_for_update().get(pk=asked.version_id)  # two decisions follow each other
    if ThresholdDecision.objects.filter(proposal=asked).exists():
        raise ChangeRefused(_("It is decided already."))
    if approve and (told := refusal(asked, by)):
        raise ChangeRefused(told)
    if not approve and not reason_of(reason):
        raise ChangeRefused(_("Say why: the person who proposed it will read the reason."))
    outcome = ThresholdDecision.Outcome.APPROVED if approve else ThresholdDecision.Outcome.DECLINED
    decision = ThresholdDecision.objects.create(
        proposal=asked, outcome=outcome, reason=reason_of(reason), by=by, role=by.role
    )
    ledger.record(LedgerKind.APPROVAL, decision, asked, by=by, detector=asked.version.detector)
    audit.record(by, f"threshold.{outcome}", str(asked.version), proposal=asked.pk, threshold=asked.threshold)
    return decision


def _refuse_role(by: User) -> None:
    if not by.has_role(*PARTNER):
        raise ChangeRefused(_("Thresholds are for an engineer and a senior expert."))
