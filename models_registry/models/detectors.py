"""Detection tasks and which rules speak about their class."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.evidence import Evidence


class Detector(models.Model):
    """One detection task; its name is `registry_name` in build_config.yml."""

    name = models.SlugField(max_length=64, unique=True)
    protocol = models.CharField(max_length=16, default="http")
    positive_class = models.CharField(max_length=32, default="malicious")
    negative_class = models.CharField(max_length=32, default="benign")
    positive_key = models.CharField(max_length=1, default="m")
    negative_key = models.CharField(max_length=1, default="b")
    false_positive_cost = models.FloatField(default=10.0)  # price of a false positive, in missed detections
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def mapping(self) -> RuleMappingVersion:
        """The rule mapping in force: the newest."""
        newest = self.mappings.order_by("-number").first()
        if newest is None:
            raise RuleMappingVersion.DoesNotExist(f"{self.name} has no rule mapping")
        return newest


class RuleMappingVersion(Evidence):
    """Which rules speak about the detector's class. Added, never edited: board and gate name the digest they used."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="mappings")
    number = models.PositiveIntegerField()
    mapping = models.JSONField()  # detection.rules.RuleMapping as a dict
    digest = models.CharField(max_length=64)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["detector", "number"]
        constraints = [models.UniqueConstraint(fields=["detector", "number"], name="one_mapping_per_number")]

    def __str__(self) -> str:
        return f"{self.detector}: mapping {self.number}"
