"""Settled cases that are put before an expert once more, without his knowing."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from labeling.models.items import Item
from labeling.models.labels import Answer


class Seed(models.Model):
    """A copy of a reference case for one expert. Its item is in the state `seed`: no queue counts it, nobody else is
    given it, and its label says nothing about the case."""

    item = models.OneToOneField(Item, on_delete=models.PROTECT, related_name="seed")  # the copy
    original = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="seeds")
    expert = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="seeds")
    expected = models.CharField(max_length=10, choices=Answer.choices)  # as the reference set says
    policy = models.JSONField()  # detection.seeds.SeedPolicy
    created_at = models.DateTimeField(default=timezone.now)
    instead_of = models.ForeignKey(Item, on_delete=models.PROTECT, null=True, related_name="+")  # given after it
    given_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["expert", "original"], name="one_seed_per_expert_and_case"),
            models.UniqueConstraint(fields=["expert", "instead_of"], name="one_seed_before_an_item"),
        ]
        indexes = [
            # read by labeling.services.seeds
            models.Index(fields=["expert"], name="seed_ready", condition=Q(instead_of=None)),
        ]

    def __str__(self) -> str:
        return f"seed {self.item_id} for {self.expert}"
