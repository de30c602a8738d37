"""A change of stage takes two people: a proposal by one, a decision by the other."""

from __future__ import annotations

from django.db import models
from django.db.models import F, OuterRef, Subquery
from django.utils.translation import gettext_lazy as _

from accounts.evidence import EvidenceQuerySet
from models_registry.models.gates import GateReport
from models_registry.models.two_people import Act, Decision
from models_registry.models.versions import Stage, StageChange, Version


class StageProposalQuerySet(EvidenceQuerySet["StageProposal"]):
    def waiting(self) -> StageProposalQuerySet:
        """Proposals without a decision whose version has not moved since."""
        newest = StageChange.objects.filter(version=OuterRef("version")).order_by("-id").values("id")[:1]
        undecided = self.filter(decision=None).annotate(newest=Subquery(newest))
        return undecided.filter(models.Q(newest=F("after")) | models.Q(newest=None))


class StageProposal(Act):
    """An engineer or a senior expert wants a version in another stage. Holds what the second person agrees to."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="proposals")
    old = models.CharField(max_length=10, choices=Stage.choices)
    new = models.CharField(max_length=10, choices=Stage.choices)
    after = models.ForeignKey(StageChange, on_delete=models.PROTECT, null=True, related_name="+")  # newest when made
    gate_report = models.ForeignKey(GateReport, on_delete=models.PROTECT, null=True, related_name="proposals")
    displaces = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, related_name="+")  # active when made
    displaced_to = models.CharField(max_length=10, choices=Stage.choices, blank=True)
    reason = models.CharField(max_length=255, blank=True)

    objects = StageProposalQuerySet.as_manager()  # type: ignore[misc]  # a manager with more questions

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.version}: {self.old} → {self.new}"


class StageDecision(Decision):
    proposal = models.OneToOneField(StageProposal, on_delete=models.PROTECT, related_name="decision")
    change = models.OneToOneField(StageChange, on_delete=models.PROTECT, null=True, related_name="decision")
    gate_report = models.ForeignKey(GateReport, on_delete=models.PROTECT, null=True, related_name="decisions")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(outcome="declined") | models.Q(change__isnull=False), name="approvals_change_a_stage"
            )
        ]


class Rollback(Act):
    """An emergency: one person took an active version out at once. Another one looks at it afterwards."""

    change = models.OneToOneField(StageChange, on_delete=models.PROTECT, related_name="rollback")  # of what was active
    # what two people had agreed to before it, active again; None: nothing was
    restored = models.OneToOneField(StageChange, on_delete=models.PROTECT, null=True, related_name="rolled_back_to")
    reason = models.CharField(max_length=255)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.change.version} → {self.restored.version if self.restored else '–'}"


class RollbackReview(Act):
    """What the second person says of a rollback, after it took effect."""

    class Outcome(models.TextChoices):
        AGREED = "agreed", _("agreed")
        OBJECTED = "objected", _("objected")

    rollback = models.OneToOneField(Rollback, on_delete=models.PROTECT, related_name="review")
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    note = models.CharField(max_length=255, blank=True)

    def __str__(self) -> str:
        return f"{self.rollback}: {self.outcome}"
