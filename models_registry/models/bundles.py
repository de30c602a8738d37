"""Bundles: one ONNX with several versions, as delivered."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from accounts.evidence import Evidence
from models_registry.models.gates import GateReport
from models_registry.models.versions import Version


class Bundle(Evidence):
    """One built ONNX file. The same configuration and the same inputs give the same digest."""

    digest = models.CharField(max_length=64, unique=True)  # SHA-256 of the file
    config = models.TextField()  # build_config.yml as given
    path = models.CharField(max_length=255)
    bytes = models.PositiveIntegerField()
    metadata = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.digest[:12]

    @property
    def protocol(self) -> str:
        """The protocol its models read: "http"."""
        return str(self.metadata.get("contract", {}).get("name", ""))

    @property
    def kilobytes(self) -> int:
        return -(-self.bytes // 1000)


class BundleEntry(Evidence):
    """One version inside a bundle."""

    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, related_name="entries")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="bundle_entries")
    threshold = models.FloatField()
    is_silent = models.BooleanField()
    gate_report = models.ForeignKey(GateReport, on_delete=models.PROTECT, null=True, related_name="bundle_entries")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bundle", "version"], name="one_entry_per_version"),
            models.CheckConstraint(
                condition=models.Q(is_silent=True) | models.Q(gate_report__isnull=False), name="loud_entries_are_gated"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} in {self.bundle}"
