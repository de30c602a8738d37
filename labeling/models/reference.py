"""Agreed labels that gate releases."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from labeling.models.items import Item
from labeling.models.labels import Answer, Label
from models_registry.models import Detector


class Role(models.TextChoices):
    REGRESSION = "regression", _("regression")  # must be right, may be trained on
    HOLDOUT = "hold-out", _("hold-out")  # must be right, never trained or tuned on
    FORWARD = "forward", _("forward")  # proof labels later than the training data


class ReferenceRow(models.Model):
    """One agreed answer with a frozen copy of what was judged. Never deleted; retirement is a record."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="reference_rows")
    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="reference_rows")
    subject_key = models.CharField(max_length=200)
    answer = models.CharField(max_length=10, choices=[(Answer.POSITIVE, "positive"), (Answer.NEGATIVE, "negative")])
    rule_hit = models.BooleanField()  # a lost positive that rules cover warns, one that no rule hit blocks
    role = models.CharField(max_length=12, choices=Role.choices)
    shape = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    host = models.CharField(max_length=64)  # source address
    day = models.DateField()  # of the session
    source = models.CharField(max_length=100, blank=True)
    row = models.TextField()  # the session row with all model inputs, as judged
    labels = models.ManyToManyField(Label, related_name="reference_rows")  # the agreeing answers
    admitted_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["detector", "fingerprint", "host"], name="one_reference_row_per_fingerprint_and_host"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()} {self.answer} {self.subject_key}"
