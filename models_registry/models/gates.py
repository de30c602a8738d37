"""Gate reports: what a version, at a threshold, did on a snapshot."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.evidence import Evidence
from models_registry.models.files import Snapshot
from models_registry.models.versions import Version


class GateReport(Evidence):
    """Checks of (version, threshold, snapshot), passed or failed. Added, never edited."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="gate_reports")
    threshold = models.FloatField()
    snapshot = models.ForeignKey(Snapshot, on_delete=models.PROTECT, related_name="gate_reports")
    passed = models.BooleanField()
    report = models.JSONField()  # detection.gate.Report as a dict, with the digests it rests on
    digest = models.CharField(max_length=64)  # SHA-256 of the canonical report
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "threshold", "snapshot", "digest"], name="one_report_per_gate_result"
            )
        ]

    def __str__(self) -> str:
        return f"{self.version} at {self.threshold} on snapshot {self.snapshot.number}"


class Claim(Evidence):
    """What the workshop showed of a version's precision at its own threshold, as the gate reports quote it."""

    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="claims")
    threshold = models.FloatField()
    figures = models.JSONField()  # detection.proof.Proof as a dict
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.version} at {self.threshold}: {self.figures['precision_bound']:.3f}"


class AcceptedLoss(Evidence):
    """A senior lets a version lose a known attack, and says why. The row of the reference set stays."""

    gate_report = models.ForeignKey(GateReport, on_delete=models.PROTECT, related_name="accepted_losses")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="accepted_losses")
    subject_key = models.CharField(max_length=200)
    title = models.CharField(max_length=255)
    reason = models.CharField(max_length=255)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["version", "subject_key"], name="one_acceptance_per_loss")]

    def __str__(self) -> str:
        return f"{self.version} may lose {self.title}"
