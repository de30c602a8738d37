"""Sentences that a language model is asked to put into the language of hunts, and what came of it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from jobs.models import Job


class HuntProposal(models.Model):
    """One question, and the answer or why there is none."""

    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="hunt_proposals")
    sentence = models.CharField(max_length=500)  # as it was written
    sent = models.TextField(blank=True)  # as it left the house
    model = models.CharField(max_length=100)  # as the settings call it
    filter = models.TextField(blank=True)  # what came back, with the house's own addresses
    error = models.CharField(max_length=200, blank=True)
    milliseconds = models.PositiveIntegerField(null=True)
    job = models.ForeignKey(Job, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    answered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            # read by what says how many questions are left today
            models.Index(fields=["created_at"], name="hunt_proposal_by_time"),
        ]

    def __str__(self) -> str:
        return self.sentence
