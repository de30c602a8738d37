"""What was drawn to prove a version, and with which probability."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from accounts.evidence import Evidence
from labeling.models.items import Item
from models_registry.models import ScoreFile, Version


class ProofDraw(Evidence):
    """The positives of one version, day and score file, and the probability by which each of them entered.

    With the key of the house the same sessions can be drawn again from it."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="proof_draws")
    score_file = models.ForeignKey(ScoreFile, on_delete=models.PROTECT, related_name="proof_draws")
    day = models.DateField()  # of the sessions, UTC
    positives = models.PositiveIntegerField()  # sessions the version flagged, later than its training freeze
    expected = models.PositiveIntegerField()  # positives of the whole day, as far as was known
    probability = models.FloatField()
    drawn = models.PositiveIntegerField()
    policy = models.JSONField()  # detection.sampling.SamplingPolicy
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["score_file", "day"], name="one_draw_per_file_and_day")]
        indexes = [
            # read by labeling.services.proofs: positives of a day so far
            models.Index(fields=["version", "day"], name="proof_draw_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.version} on {self.day}: {self.drawn} of {self.positives}"


class ProofItem(Evidence):
    """One drawn session: its weight and its clusters. Only answers to its own item say anything about it."""

    item = models.OneToOneField(Item, on_delete=models.PROTECT, related_name="proof")
    draw = models.ForeignKey(ProofDraw, on_delete=models.PROTECT, related_name="items")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="proof_items")
    probability = models.FloatField()  # by which it entered
    host = models.CharField(max_length=64)  # source address
    domain = models.CharField(max_length=255)  # registered domain of the destination, or its address

    def __str__(self) -> str:
        return f"proof of {self.version}: {self.item_id}"
