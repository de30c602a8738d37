"""Versions of a detector's model and the stages they went through."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence
from models_registry.models.detectors import Detector
from models_registry.models.files import TrainingSet


class Stage(models.TextChoices):
    CANDIDATE = "candidate", _("candidate")
    SILENT = "silent", _("silent")
    ACTIVE = "active", _("active")
    RETIRED = "retired", _("retired")


ROUTED_STAGES = (Stage.ACTIVE, Stage.SILENT)  # a candidate's verdicts cost no expert's time


class VersionQuerySet(models.QuerySet["Version"]):
    def scoring(self) -> VersionQuerySet:
        """Versions whose verdicts are wanted on new segments."""
        return self.exclude(stage=Stage.RETIRED)

    def named(self, *names: str) -> dict[str, Version]:
        """Versions by what they are called, "ktalk:3", as far as there are any."""
        asked = [(name, number) for name, _colon, number in (one.rpartition(":") for one in names)]
        numbers = {int(number) for _name, number in asked if number.isdecimal() and len(number) < 10}
        found = self.filter(detector__name__in={name for name, _number in asked}, number__in=numbers)
        wanted = set(names)
        return {str(version): version for version in found.select_related("detector") if str(version) in wanted}


class Version(models.Model):
    """One trained model of a detector. The files never change; the stage is the newest stage change."""

    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    stage = models.CharField(max_length=10, choices=Stage.choices, default=Stage.CANDIDATE)
    training_set = models.ForeignKey(TrainingSet, on_delete=models.PROTECT, related_name="versions")
    contract = models.CharField(max_length=32)  # feature contract, "http-1"
    onnx_path = models.CharField(max_length=255)
    onnx_digest = models.CharField(max_length=64)
    text_path = models.CharField(max_length=255)  # LightGBM text model, for contributions and retraining
    text_digest = models.CharField(max_length=64)
    threshold = models.FloatField()  # probability, as proposed; the board and the queues use it
    report = models.JSONField(default=dict)  # detection.training.TrainingReport as a dict
    parameters = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    objects = VersionQuerySet.as_manager()

    class Meta:
        ordering = ["detector", "number"]
        constraints = [
            models.UniqueConstraint(fields=["detector", "number"], name="one_version_per_number"),
            models.UniqueConstraint(
                fields=["detector"], condition=models.Q(stage="active"), name="one_active_version_per_detector"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.detector.name}:{self.number}"


class StageChange(Evidence):
    """A version went from one stage to another. Added, never edited."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="stage_changes")
    old = models.CharField(max_length=10, choices=Stage.choices, blank=True)
    new = models.CharField(max_length=10, choices=Stage.choices)
    reason = models.CharField(max_length=255)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.version}: {self.old or '-'} → {self.new}"
