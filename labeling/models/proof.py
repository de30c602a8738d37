"""What was drawn to prove a version, from what it flagged and from what it let pass, and with which probability."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from accounts.evidence import Evidence
from labeling.models.items import Item
from models_registry.models import ScoreFile, Version


class ProofDraw(Evidence):
    """Sessions of one version, day, score file and stratum, and the probability by which each of them entered.

    With the key of the house the same sessions can be drawn again from it."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="proof_draws")
    score_file = models.ForeignKey(ScoreFile, on_delete=models.PROTECT, related_name="proof_draws")
    day = models.DateField()  # of the sessions, UTC
    stratum = models.CharField(
        max_length=32, blank=True
    )  # of what it let pass (detection.sampling); "": it flagged them
    sessions = models.PositiveIntegerField()  # in the stratum, later than the version's training freeze
    expected = models.PositiveIntegerField()  # in the stratum on the whole day, as far as was known
    probability = models.FloatField()
    drawn = models.PositiveIntegerField()
    policy = models.JSONField()  # detection.sampling.SamplingPolicy
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["score_file", "day", "stratum"], name="one_draw_per_file_day_and_stratum")
        ]
        indexes = [
            # read by labeling.services.proofs: sessions of a day so far
            models.Index(fields=["version", "day"], name="proof_draw_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.version} on {self.day}: {self.drawn} of {self.sessions} {self.stratum}".rstrip()


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
