"""Agreed labels that gate releases."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from labeling.models.imports import ReferenceImport
from labeling.models.items import Item
from labeling.models.labels import Answer, Label
from models_registry.models import Detector

ROW_ANSWERS = [(Answer.POSITIVE, Answer.POSITIVE.label), (Answer.NEGATIVE, Answer.NEGATIVE.label)]


class Role(models.TextChoices):
    REGRESSION = "regression", _("regression")  # must be right, may be trained on
    HOLDOUT = "hold-out", _("hold-out")  # must be right, never trained or tuned on
    FORWARD = "forward", _("forward")  # proof labels later than the training data


class ReferenceQuerySet(models.QuerySet["ReferenceRow"]):
    def in_force(self) -> ReferenceQuerySet:
        """Rows that are not retired."""
        return self.filter(retired_at=None)

    def gating(self) -> ReferenceQuerySet:
        """Rows that a version must get right to leave."""
        return self.in_force().filter(role__in=(Role.REGRESSION, Role.HOLDOUT))


class ReferenceRow(models.Model):
    """One agreed answer with a frozen copy of what was judged. Never deleted; retirement is a record.

    What was judged never changes. `role`, `retired_at` and `recheck_since` say what the row's events made of it, and
    are written in the transaction that writes the event."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="reference_rows")
    # null: it was imported
    item = models.ForeignKey(Item, on_delete=models.PROTECT, null=True, related_name="reference_rows")
    imported = models.ForeignKey(ReferenceImport, on_delete=models.PROTECT, null=True, related_name="rows")
    subject_key = models.CharField(max_length=200)
    title = models.CharField(max_length=255, blank=True)
    answer = models.CharField(max_length=10, choices=ROW_ANSWERS)
    family = models.CharField(max_length=64, blank=True)  # of the attack, as the experts named it
    rule_hit = models.BooleanField()  # a lost positive that rules cover warns, one that no rule hit blocks
    role = models.CharField(max_length=12, choices=Role.choices)
    shape = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    host = models.CharField(max_length=64)  # source address
    day = models.DateField()  # of the session
    sensor = models.CharField(max_length=100, blank=True)
    source = models.CharField(max_length=100, blank=True)
    protocol = models.CharField(max_length=16, blank=True)
    row = models.TextField()  # the session row with all model inputs, as judged
    digest = models.CharField(max_length=64, blank=True)  # of what was judged: detection.reference.row_digest
    labels = models.ManyToManyField(Label, related_name="reference_rows")  # the agreeing answers
    admitted_at = models.DateTimeField(default=timezone.now)
    retired_at = models.DateTimeField(null=True)
    recheck_since = models.DateTimeField(null=True)  # doubted, or an answer has expired; it gates all the same

    objects = ReferenceQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["detector", "fingerprint", "host"],
                condition=models.Q(retired_at=None),
                name="one_row_in_force_per_fingerprint_and_host",
            )
        ]
        indexes = [
            # read by labeling.services.entries: one filter each, newest first
            models.Index(fields=["detector", "role", "-id"], name="reference_by_role"),
            models.Index(fields=["detector", "family", "-id"], name="reference_by_family"),
            models.Index(fields=["detector", "sensor", "-id"], name="reference_by_sensor"),
            models.Index(fields=["detector", "source", "-id"], name="reference_by_source"),
            models.Index(
                fields=["detector", "-id"], name="reference_retired", condition=models.Q(retired_at__isnull=False)
            ),
            models.Index(
                fields=["detector", "-id"], name="reference_to_recheck", condition=models.Q(recheck_since__isnull=False)
            ),
            # read by labeling.services.entries: the row that a gate report names
            models.Index(fields=["detector", "subject_key"], name="reference_by_subject"),
            # read by labeling.services.imports: what is in already
            models.Index(fields=["detector", "digest"], name="reference_by_digest"),
        ]

    def __str__(self) -> str:
        return f"{self.get_role_display()} {self.answer} {self.subject_key}"

    @property
    def is_retired(self) -> bool:
        return self.retired_at is not None
