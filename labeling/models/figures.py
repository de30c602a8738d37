"""What the clock measured of answers: how far experts agree, what one did, what a label of a queue costs."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from detection.agreement import FEWEST
from labeling.models.items import Queue
from models_registry.models import Detector


class AgreementFigure(models.Model):
    """How far experts agreed on a detector's items, as a night found it: all of them, or two."""

    detector = models.ForeignKey(Detector, on_delete=models.CASCADE, related_name="agreement_figures")
    day = models.DateField()  # of the night, UTC; what it measured lies before
    # null: all experts
    first = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    second = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+")
    items = models.PositiveIntegerField()  # that two or more answered
    agreed = models.PositiveIntegerField()  # on which all said the same
    value = models.FloatField(null=True)  # Krippendorff's alpha of all, Cohen's kappa of two; null: not defined
    low = models.FloatField(null=True)  # of a 95 % interval
    high = models.FloatField(null=True)
    policy = models.JSONField()  # detection.agreement.AgreementPolicy
    measured_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["detector", "day"], condition=Q(first=None), name="one_agreement_per_detector_and_day"
            ),
            models.UniqueConstraint(
                fields=["detector", "day", "first", "second"], name="one_agreement_per_pair_and_day"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.detector} on {self.day}: {self.agreed} of {self.items}"

    @property
    def is_enough(self) -> bool:
        """Whether there are enough items to say anything of people."""
        return self.items >= FEWEST


class ExpertFigure(models.Model):
    """What one expert did for one detector, as a night found it. `seeds` are those he was told of."""

    detector = models.ForeignKey(Detector, on_delete=models.CASCADE, related_name="expert_figures")
    expert = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="figures")
    day = models.DateField()  # of the night, UTC
    labels = models.PositiveIntegerField()  # answers of his own, in force
    median_ms = models.PositiveIntegerField(null=True)  # from opening to answer
    p90_ms = models.PositiveIntegerField(null=True)
    shared = models.PositiveIntegerField(default=0)  # items that others answered too
    agreed = models.PositiveIntegerField(default=0)  # on which all others said the same
    seeds = models.PositiveIntegerField(default=0)
    seeds_right = models.PositiveIntegerField(default=0)
    unique = models.PositiveIntegerField(default=0)  # answers that became unique detects
    false_positives = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["detector", "expert", "day"], name="one_figure_per_expert_and_day")
        ]
        indexes = [
            # read by labeling.services.experts
            models.Index(fields=["expert", "-day"], name="expert_figure_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.expert} on {self.day}: {self.labels} answers for {self.detector}"

    @property
    def median(self) -> timedelta | None:
        return None if self.median_ms is None else timedelta(milliseconds=self.median_ms)

    @property
    def p90(self) -> timedelta | None:
        return None if self.p90_ms is None else timedelta(milliseconds=self.p90_ms)

    @property
    def is_enough(self) -> bool:
        return self.shared >= FEWEST

    @property
    def seeds_missed(self) -> int:
        return self.seeds - self.seeds_right


class QueuePrice(models.Model):
    """What a label of a queue costs, in an expert's time."""

    queue = models.OneToOneField(Queue, on_delete=models.CASCADE, primary_key=True, related_name="price")
    labels = models.PositiveIntegerField()  # that it was measured on
    median_ms = models.PositiveIntegerField()  # from opening to answer, by the server's clock
    p90_ms = models.PositiveIntegerField()
    per_item = models.FloatField(null=True)  # answers per settled item; null: none was settled
    measured_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.queue}: {self.median}"

    @property
    def median(self) -> timedelta:
        return timedelta(milliseconds=self.median_ms)

    @property
    def p90(self) -> timedelta:
        return timedelta(milliseconds=self.p90_ms)

    def of(self, labels: int) -> timedelta:
        """Return what so many labels cost."""
        return labels * self.median

    @property
    def of_ten(self) -> timedelta:
        return self.of(10)

    @property
    def of_item(self) -> timedelta | None:
        """Return what settling one item costs."""
        return None if self.per_item is None else self.per_item * self.median

    @property
    def of_waiting(self) -> timedelta | None:
        """Return what everything that waits in the queue would cost."""
        return None if self.of_item is None else self.queue.waiting * self.of_item
