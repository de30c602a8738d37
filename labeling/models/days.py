"""What an expert did on a day, kept by increments: counting thousands of labels at each answer would be slow."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class ExpertDay(models.Model):
    """How many items one expert answered on one day (UTC), withdrawn answers taken off."""

    expert = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="days", db_index=False)
    day = models.DateField()
    answered = models.IntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["expert", "day"], name="one_row_per_expert_and_day")]

    def __str__(self) -> str:
        return f"{self.expert} on {self.day}"
