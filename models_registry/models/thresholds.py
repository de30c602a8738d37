"""Thresholds of a version by two people: a proposal off the dial, and a decision."""

from __future__ import annotations

from django.db import models

from models_registry.models.two_people import Act, Decision
from models_registry.models.versions import Version


class ThresholdProposal(Act):
    """Somebody wants a version to leave at another threshold. Holds what the second person agrees to."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="threshold_proposals")
    threshold = models.FloatField()
    false_positive_cost = models.FloatField()
    miss_cost = models.FloatField()
    figures = models.JSONField()  # detection.dial.Step as a dict: what the dial said then
    reason = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.version} ≥ {self.threshold:g}"


class ThresholdDecision(Decision):
    proposal = models.OneToOneField(ThresholdProposal, on_delete=models.PROTECT, related_name="decision")
