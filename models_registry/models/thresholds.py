"""Thresholds of a version by two people: a proposal off the dial, and a decision."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence
from accounts.roles import Role
from models_registry.models.versions import Version


class ThresholdProposal(Evidence):
    """Somebody wants a version to leave at another threshold. Holds what the second person agrees to."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="threshold_proposals")
    threshold = models.FloatField()
    false_positive_cost = models.FloatField()
    miss_cost = models.FloatField()
    figures = models.JSONField()  # detection.dial.Step as a dict: what the dial said then
    reason = models.CharField(max_length=255, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=16, choices=Role.choices)  # of that person, then
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.version} ≥ {self.threshold:g}"


class ThresholdDecision(Evidence):
    """What became of a proposal. One per proposal: two approvals at once cannot both count."""

    class Outcome(models.TextChoices):
        APPROVED = "approved", _("approved")
        DECLINED = "declined", _("declined")

    proposal = models.OneToOneField(ThresholdProposal, on_delete=models.PROTECT, related_name="decision")
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    reason = models.CharField(max_length=255, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=16, choices=Role.choices)
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.proposal}: {self.outcome}"
