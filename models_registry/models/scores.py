"""What a version said about a segment."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from models_registry.models.detectors import RuleMappingVersion
from models_registry.models.versions import Version
from traffic.models import Kind, Segment


class ScoreFileQuerySet(models.QuerySet["ScoreFile"]):
    def unrouted(self) -> ScoreFileQuerySet:
        """The workshop's mailbox. Saved dumps come to it by their labels."""
        return self.filter(routed_at=None, segment__kind=Kind.TRAFFIC, segment__deleted_at=None)

    def counted(self) -> ScoreFileQuerySet:
        """Files whose counts are on boards: those of merged segments are in the file of what they became."""
        return self.filter(segment__kind=Kind.TRAFFIC, segment__merged_into=None)

    def outdated(self) -> ScoreFileQuerySet:
        """The mailbox of models_registry.services.corrections: rule hits came later."""
        return self.filter(segment__late_hits__gt=models.F("late_hits"), segment__deleted_at=None)

    def take_for_routing(self, pk: int) -> bool:
        """Mark one file as routed; False when somebody was faster, or its segment is gone. Call inside atomic()."""
        return self.filter(pk=pk, routed_at=None, segment__deleted_at=None).update(routed_at=timezone.now()) == 1


class ScoreFile(models.Model):
    """Scores, verdicts, rule verdicts and board cells of one segment by one version; joins sessions on rid."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="score_files")
    segment = models.ForeignKey(Segment, on_delete=models.PROTECT, related_name="score_files")
    mapping = models.ForeignKey(RuleMappingVersion, on_delete=models.PROTECT, related_name="+")
    threshold = models.FloatField()
    path = models.CharField(max_length=255)  # empty: deleted by age, the counts stay
    digest = models.CharField(max_length=64)
    rows = models.PositiveIntegerField()
    # sessions per board cell, summed while scoring: the board never joins millions of rows
    covered = models.PositiveIntegerField(default=0)
    unique_candidates = models.PositiveIntegerField(default=0)
    missed = models.PositiveIntegerField(default=0)
    quiet = models.PositiveIntegerField(default=0)
    uninspected_positive = models.PositiveIntegerField(default=0)
    uninspected_negative = models.PositiveIntegerField(default=0)
    late_hits = models.PositiveIntegerField(default=0)  # of the segment, as far as this file knows them
    created_at = models.DateTimeField(default=timezone.now)
    routed_at = models.DateTimeField(null=True)

    objects = ScoreFileQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "segment"], name="one_score_file_per_segment")]
        indexes = [
            # read by labeling.services.routing
            models.Index(fields=["id"], name="score_file_unrouted", condition=models.Q(routed_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.version} on {self.segment}"


class CorrectionQuerySet(models.QuerySet["Correction"]):
    def uncollected(self) -> CorrectionQuerySet:
        """The workshop's mailbox."""
        return self.filter(collected_at=None)

    def take(self, pk: int) -> bool:
        """Mark one correction as collected; False when somebody was faster. Call inside atomic()."""
        return self.filter(pk=pk, collected_at=None).update(collected_at=timezone.now()) == 1


class Correction(models.Model):
    """Rule hits came later than a score file was written: which of its sessions they speak about."""

    score_file = models.ForeignKey(ScoreFile, on_delete=models.CASCADE, related_name="corrections")
    rows = models.JSONField()  # [[row, rule verdict before, rule verdict after]]
    old_path = models.CharField(
        max_length=255, blank=True
    )  # the file as it was: readers may be at it, the night deletes
    created_at = models.DateTimeField(default=timezone.now)
    collected_at = models.DateTimeField(null=True)  # set at once where nothing of the file was routed yet

    objects = CorrectionQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        indexes = [
            # read by labeling.services.late_hits
            models.Index(fields=["id"], name="correction_mailbox", condition=models.Q(collected_at=None)),
            # read by models_registry.services.corrections
            models.Index(fields=["id"], name="correction_old_file", condition=~models.Q(old_path="")),
        ]

    def __str__(self) -> str:
        return f"correction of {self.score_file}"


class ScoreFailure(models.Model):
    """A segment that a version could not score: why, and when it is tried again. Gone once it is scored."""

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="score_failures")
    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="score_failures")
    error = models.CharField(max_length=500)
    attempts = models.PositiveIntegerField(default=0)
    again_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["segment"]
        constraints = [models.UniqueConstraint(fields=["version", "segment"], name="one_failure_per_segment")]

    def __str__(self) -> str:
        return f"{self.version} on {self.segment}: {self.error}"
