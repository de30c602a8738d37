"""What a language model said about an item. Never a label: nothing that counts, gates or trains reads this table."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from accounts.evidence import Evidence
from labeling.models.items import Item
from labeling.models.labels import Answer

ANSWERS = [(answer.value, answer.label) for answer in (Answer.POSITIVE, Answer.NEGATIVE, Answer.UNDECIDED)]


class Suggestion(Evidence):
    """One question to a language model, and the answer or why there is none."""

    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="suggestions")
    model = models.CharField(max_length=100)  # as the settings call it
    answer = models.CharField(max_length=10, choices=ANSWERS, blank=True)  # empty: there is an error
    reason = models.CharField(max_length=300, blank=True)
    error = models.CharField(max_length=200, blank=True)
    sent = models.JSONField()  # names of the fields that left the house
    milliseconds = models.PositiveIntegerField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["item", "model"], condition=models.Q(error=""), name="one_suggestion_per_item_and_model"
            )
        ]
        indexes = [
            # read by labeling.services.suggestions: what the day has cost
            models.Index(fields=["created_at"], name="suggestion_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.model}: {self.answer or self.error}"
