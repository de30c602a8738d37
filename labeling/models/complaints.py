"""What complaints need of the workshop: their items, and the retraining they ask for."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from labeling.models.items import Item
from models_registry.models import Detector


class ComplaintItem(models.Model):
    """The complaint behind an item, as the labelling page shows it. Its answer is collected by triage."""

    item = models.OneToOneField(Item, on_delete=models.PROTECT, primary_key=True, related_name="complaint_item")
    number = models.CharField(max_length=16)  # "C-12"
    customer = models.CharField(max_length=100)
    due_at = models.DateTimeField(null=True)  # None: nothing was promised
    collected_at = models.DateTimeField(null=True)  # mailbox of triage.services.complaints.collect

    class Meta:
        indexes = [
            # read by labeling.services.complaints.answered
            models.Index(fields=["item"], name="complaint_item_uncollected", condition=models.Q(collected_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.number} ({self.customer})"


class RetrainRequest(models.Model):
    """Somebody cannot wait for the night: a confirmed complaint needs a candidate."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="retrain_requests")
    reason = models.CharField(max_length=255)
    asked_at = models.DateTimeField(default=timezone.now)
    taken_at = models.DateTimeField(null=True)  # mailbox of labeling.services.retrains.start_asked

    class Meta:
        ordering = ["id"]
        indexes = [
            # read by labeling.services.retrains.start_asked
            models.Index(fields=["id"], name="retrain_request_waiting", condition=models.Q(taken_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.detector}: {self.reason}"
