"""Gate reports: what a version, at a threshold, did on a snapshot."""

from __future__ import annotations

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
