"""What a senior makes of answers that differ: a decision, or a question to those who gave them."""

from __future__ import annotations

from typing import cast

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.evidence import Evidence
from labeling.models.items import Item
from labeling.models.labels import Label


class Adjudication(Evidence):
    """Marks the label of a senior who saw the answers he decided between: no figure of agreement counts it."""

    label = models.OneToOneField(Label, on_delete=models.PROTECT, related_name="adjudication")
    between = models.JSONField()  # the labels that differed, by number
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.label} decides"


class Question(Evidence):
    """A disputed item went back to those who had answered it. Once: the next time a senior decides."""

    item = models.OneToOneField(Item, on_delete=models.PROTECT, related_name="question")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text = models.TextField()
    asked_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.by} asks about {self.item_id}"


class AskedAgainQuerySet(models.QuerySet["AskedAgain"]):
    def waiting(self) -> AskedAgainQuerySet:
        """Who has not answered since the question, while the item is still theirs."""
        return cast(AskedAgainQuerySet, self.filter(answered_at=None, question__item__state="returned"))


class AskedAgain(models.Model):
    """One of the experts whose answer differed, and who is asked once more."""

    question = models.ForeignKey(Question, on_delete=models.PROTECT, related_name="asked")
    expert = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="asked_again")
    answered_at = models.DateTimeField(null=True)

    objects = AskedAgainQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["question", "expert"], name="one_question_per_expert_and_item")]
        indexes = [
            # read by labeling.services.conflicts and labeling.services.claims
            models.Index(fields=["expert"], name="asked_again_waiting", condition=Q(answered_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.expert} is asked again about {self.question.item_id}"
