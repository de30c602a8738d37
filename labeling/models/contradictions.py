"""Looks about which experts, rules, customers, neighbours or versions say opposite things."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from labeling.models.items import Item
from labeling.models.reference import ReferenceRow
from models_registry.models import Detector


class Contradiction(models.Model):
    """One of the ten of a detector and day, with its reasons as they were that night."""

    detector = models.ForeignKey(Detector, on_delete=models.CASCADE, related_name="contradictions")
    day = models.DateField()  # of the night, UTC
    place = models.PositiveSmallIntegerField()  # 1: the strongest
    shape = models.CharField(max_length=64)
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="contradictions")  # the case to look at
    row = models.ForeignKey(ReferenceRow, on_delete=models.CASCADE, null=True, related_name="contradictions")
    strength = models.FloatField()
    reasons = models.JSONField()  # [{"side", "strength", "item", "figures"}], the strongest first
    policy = models.JSONField()  # detection.contradictions.ContradictionPolicy
    created_at = models.DateTimeField(default=timezone.now)
    asked_at = models.DateTimeField(null=True)  # the item is asked about again
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-day", "detector__name", "place"]
        constraints = [
            models.UniqueConstraint(fields=["detector", "day", "place"], name="one_contradiction_per_place"),
            models.UniqueConstraint(fields=["detector", "day", "shape"], name="one_contradiction_per_look_and_day"),
        ]
        indexes = [
            # read by labeling.services.contradictions: looks that somebody saw to lately
            models.Index(
                fields=["detector", "-asked_at"],
                name="contradiction_asked",
                condition=Q(asked_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.detector} on {self.day}, {self.place}"
