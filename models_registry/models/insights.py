"""What versions look at."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from models_registry.models.versions import Version

TRAINING = "training"  # the window of the rows that a version was trained on


class Insight(models.Model):
    """Mean contributions of a version's features in a sample of one window. Worked out anew when the window grew."""

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="insights")
    window = models.CharField(max_length=10)  # TRAINING, or the Monday of a week, "2026-11-16"
    rows = models.PositiveBigIntegerField()  # sessions of the window when it was drawn from
    sessions = models.PositiveIntegerField()  # drawn as they come
    verdicts = models.PositiveIntegerField()  # verdicts among them and beside them
    shares = models.JSONField()  # [detection.insight.FeatureShare as a dict], the largest first
    examples = models.JSONField()  # [detection.insight.Example as a dict]
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["version", "window"]  # weeks in their order, the training last
        constraints = [models.UniqueConstraint(fields=["version", "window"], name="one_insight_per_window")]

    def __str__(self) -> str:
        return f"{self.version} in {self.window}"
