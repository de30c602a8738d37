"""What the reference set of a detector holds, counted by the clock."""

from __future__ import annotations

from django.db import models

from models_registry.models import Detector


class Coverage(models.Model):
    """The newest count of a detector's gating rows; counted again when the set has changed, and each day."""

    detector = models.OneToOneField(Detector, on_delete=models.CASCADE, primary_key=True, related_name="coverage")
    made_at = models.DateTimeField()
    rows = models.PositiveIntegerField()
    last_row = models.BigIntegerField()  # the newest row then; with the newest event it says whether anything changed
    last_event = models.PositiveIntegerField()
    held = models.JSONField()  # dimension -> name -> answer -> [rows, day of the newest]
    ages = models.JSONField()  # answer -> rows by age, as in detection.coverage.AGES
    known = models.JSONField()  # dimension -> names that exist beside what the set holds
    policy = models.JSONField()  # detection.coverage.CoveragePolicy

    def __str__(self) -> str:
        return f"{self.detector}: {self.rows} rows"
