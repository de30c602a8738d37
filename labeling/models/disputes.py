"""Doubts about rows of the reference set, and what a senior made of them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence, EvidenceQuerySet
from accounts.roles import Role as Person
from labeling.models.reference import ROW_ANSWERS, ReferenceRow
from labeling.models.reference_changes import ReferenceDecision, ReferenceProposal
from models_registry.models import GateReport


class DisputeReason(models.TextChoices):
    WRONG_ANSWER = "wrong-answer", _("the answer is wrong")
    BROKEN = "broken-session", _("the session is broken or cut off")
    DUPLICATE = "duplicate", _("another row says the same")
    UNCLEAR = "unclear", _("nobody can tell from what is shown")
    OTHER = "other", _("other")


class DisputeOrigin(models.TextChoices):
    """Where the doubt came from."""

    ENTRY = "entry", _("its page")
    GATE = "gate", _("a gate report")
    ANSWERS = "answers", _("one's own answers")
    CONTRADICTION = "contradiction", _("a contradiction")


class DisputeQuerySet(EvidenceQuerySet["Dispute"]):
    def waiting(self) -> DisputeQuerySet:
        """Disputes no senior has decided, about rows that are still in force."""
        return self.filter(decision=None, row__retired_at=None)


class Dispute(Evidence):
    """Somebody doubts a row. A senior who neither disputes it nor labelled it decides."""

    row = models.ForeignKey(ReferenceRow, on_delete=models.PROTECT, related_name="disputes")
    reason = models.CharField(max_length=16, choices=DisputeReason.choices)
    answer = models.CharField(max_length=10, choices=ROW_ANSWERS, blank=True)  # what it should be
    note = models.TextField()
    origin = models.CharField(max_length=16, choices=DisputeOrigin.choices, default=DisputeOrigin.ENTRY)
    gate_report = models.ForeignKey(GateReport, on_delete=models.PROTECT, null=True, related_name="disputes")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=16, choices=Person.choices)  # of that person, then
    at = models.DateTimeField(default=timezone.now)

    objects = DisputeQuerySet.as_manager()  # type: ignore[misc]  # a manager with more questions

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.by}: {self.get_reason_display()} ({self.row})"

    @property
    def state(self) -> str:
        """What became of it, for people."""
        decision: DisputeDecision | None = getattr(self, "decision", None)
        if decision is None:
            return str(_("row retired meanwhile") if self.row.is_retired else _("open"))
        if decision.proposal is None:
            return str(decision.get_outcome_display())
        second: ReferenceDecision | None = getattr(decision.proposal, "decision", None)
        if second is None:
            return str(_("waits for the second person"))
        if second.outcome == ReferenceDecision.Outcome.DECLINED:
            return str(_("upheld by the second person"))
        return str(_("retired") if decision.proposal.kind == ReferenceProposal.Kind.RETIRE else _("answer corrected"))


class DisputeDecision(Evidence):
    """A senior's word on a dispute. Retiring and correcting wait for their second person."""

    class Outcome(models.TextChoices):
        UPHELD = "upheld", _("upheld: the row stands")
        RETIRE = "retire", _("to be retired")
        CORRECT = "correct", _("answer to be corrected")
        SPENT = "spent", _("role corrected: spent")

    dispute = models.OneToOneField(Dispute, on_delete=models.PROTECT, related_name="decision")
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    proposal = models.OneToOneField(
        ReferenceProposal, on_delete=models.PROTECT, null=True, related_name="dispute_decision"
    )
    note = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=16, choices=Person.choices)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.dispute}: {self.outcome}"
