"""Queues as a person wants them: a queue, a filter and an order under a name."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from labeling.models.items import Queue


class SavedQueue(models.Model):
    """Its address is for good and for everybody who may see queues; only the owner changes it."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_queues")
    name = models.CharField(max_length=60)
    queue = models.ForeignKey(Queue, on_delete=models.CASCADE, related_name="saved")
    query = models.CharField(max_length=2000, blank=True)  # labeling.services.filters.ItemFilter.query
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_saved_queue_per_name")]

    def __str__(self) -> str:
        return self.name
