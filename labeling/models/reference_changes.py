"""What happened to rows of the reference set after they entered: asked for by one, done with a second person."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence, EvidenceQuerySet
from accounts.roles import Role as Person
from labeling.models.reference import ROW_ANSWERS, ReferenceRow
from models_registry.models import Detector


class RetireReason(models.TextChoices):
    """Why a row's label is worth nothing. That a model fails it is no reason, and so has no code."""

    MISLABELLED = "mislabelled", _("the answer is wrong")
    BROKEN = "broken-session", _("the session is broken or cut off")
    CONSENT = "consent-withdrawn", _("consent to keep it was withdrawn")
    DUPLICATE = "duplicate", _("another row says the same")


class ReferenceProposalQuerySet(EvidenceQuerySet["ReferenceProposal"]):
    def waiting(self) -> ReferenceProposalQuerySet:
        """Proposals without a decision, about rows that are still in force."""
        return self.filter(decision=None, row__retired_at=None)


class ReferenceProposal(Evidence):
    """Somebody wants a row retired, or its answer corrected. Takes effect when a second person agrees."""

    class Kind(models.TextChoices):
        RETIRE = "retire", _("retire the row")
        CORRECT = "correct", _("correct the answer")

    row = models.ForeignKey(ReferenceRow, on_delete=models.PROTECT, related_name="proposals")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    reason = models.CharField(max_length=20, choices=RetireReason.choices)
    answer = models.CharField(max_length=10, choices=ROW_ANSWERS, blank=True)  # the right one, of a correction
    duplicate_of = models.ForeignKey(ReferenceRow, on_delete=models.PROTECT, null=True, related_name="+")
    note = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=16, choices=Person.choices)  # of that person, then
    at = models.DateTimeField(default=timezone.now)

    objects = ReferenceProposalQuerySet.as_manager()  # type: ignore[misc]  # a manager with more questions

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.row}"


class ReferenceDecision(Evidence):
    """What became of a proposal. One per proposal: two approvals at once cannot both count."""

    class Outcome(models.TextChoices):
        APPROVED = "approved", _("approved")
        DECLINED = "declined", _("declined")

    proposal = models.OneToOneField(ReferenceProposal, on_delete=models.PROTECT, related_name="decision")
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    note = models.TextField(blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=16, choices=Person.choices)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.proposal}: {self.outcome}"


class ReferenceEvent(Evidence):
    """One change of a detector's reference set. Numbered, and chained by digests: none can be left out later."""

    class Kind(models.TextChoices):
        SPENT = "spent", _("spent")  # a hold-out failure becomes regression
        RETIRED = "retired", _("retired")
        CORRECTED = "corrected", _("corrected")  # retired, and another row with the right answer took its place
        FLAGGED = "flagged", _("to be checked again")
        CONFIRMED = "confirmed", _("checked again: it stands")
        IMPORTED = "imported", _("imported")

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="reference_events")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    row = models.ForeignKey(ReferenceRow, on_delete=models.PROTECT, null=True, related_name="events")
    proposal = models.OneToOneField(ReferenceProposal, on_delete=models.PROTECT, null=True, related_name="event")
    details = models.JSONField(default=dict)  # what changed: roles, reason, note, who proposed it
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )  # null: the clock
    role = models.CharField(max_length=16, choices=Person.choices, blank=True)
    at = models.DateTimeField(default=timezone.now)
    previous = models.CharField(max_length=64, blank=True)  # digest of the event before; empty for the first
    digest = models.CharField(max_length=64)  # of this one with the previous (detection.reference.event_digest)

    class Meta:
        ordering = ["detector", "number"]
        constraints = [
            models.UniqueConstraint(fields=["detector", "number"], name="one_reference_event_per_number"),
        ]

    def __str__(self) -> str:
        return f"{self.detector}: {self.number} {self.kind}"


class LedgerMail(models.Model):
    """An event that the ledger has not taken. The ledger is to set the empty timestamp when it does."""

    event = models.OneToOneField(ReferenceEvent, on_delete=models.PROTECT, primary_key=True, related_name="mail")
    collected_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["event"], name="ledger_mail_uncollected", condition=models.Q(collected_at=None)),
        ]

    def __str__(self) -> str:
        return f"mail of {self.event_id}"
