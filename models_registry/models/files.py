"""Frozen files that the workshop hands down: reference snapshots and training sets."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from accounts.evidence import Evidence
from models_registry.models.detectors import Detector


class FrozenFile(Evidence):
    """A file that never changes, known by the SHA-256 of its bytes."""

    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    path = models.CharField(max_length=255)
    rows = models.PositiveIntegerField()
    counts = models.JSONField(default=dict)  # what is in it: per role, class, source
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        abstract = True


class Snapshot(FrozenFile):
    """A frozen state of a detector's reference set."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="snapshots")

    class Meta:
        ordering = ["detector", "number"]
        constraints = [models.UniqueConstraint(fields=["detector", "number"], name="one_snapshot_per_number")]

    def __str__(self) -> str:
        return f"{self.detector}: snapshot {self.number}"


class TrainingSet(FrozenFile):
    """Frozen rows for one training, weak and expert labels with their weights."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="training_sets")
    frozen_at = models.DateTimeField(default=timezone.now)  # the training freeze: forward rows are later than this

    class Meta:
        ordering = ["detector", "number"]
        constraints = [models.UniqueConstraint(fields=["detector", "number"], name="one_training_set_per_number")]

    def __str__(self) -> str:
        return f"{self.detector}: training set {self.number}"


class Erasure(Evidence):
    """Rows were taken out of a frozen file because a customer withdrew his consent. The digests stay."""

    path = models.CharField(max_length=255)
    old_digest = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)  # of the file as it is now
    rows = models.PositiveIntegerField()  # that are gone
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [
            # read by models_registry.services.snapshots
            models.Index(fields=["path"], name="erasure_by_path"),
        ]

    def __str__(self) -> str:
        return f"{self.rows} rows of {self.path}"
