"""The ledger: what was decided and made, in one chain that nobody can edit unseen."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence
from accounts.models import AuditEntry
from models_registry.models.detectors import Detector


class LedgerKind(models.TextChoices):
    """What an entry is about. Not a choice of the column: another kind needs no migration."""

    BEGINNING = "beginning", _("beginning")
    SNAPSHOT = "snapshot", _("snapshot")
    TRAINING_SET = "training-set", _("training set")
    VERSION = "version", _("version made")
    GATE = "gate", _("gate report")
    APPROVAL = "approval", _("approval")
    STAGE = "stage", _("stage")
    ROLLBACK = "rollback", _("rollback")
    REVIEW = "review", _("review")
    MAPPING = "mapping", _("rule mapping")
    DETECTOR = "detector", _("detector")
    BUNDLE = "bundle", _("bundle")
    PUBLICATION = "publication", _("publication")
    ROLE = "role", _("role")
    ERASURE = "erasure", _("rows erased")


class LedgerHead(models.Model):
    """The newest entry. One row: whoever adds an entry holds it, so there is one writer at a time."""

    number = models.PositiveBigIntegerField(default=0)
    digest = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return f"{self.number} {self.digest[:12]}"


class LedgerEntry(Evidence):
    """One fact. `body` is what is hashed; the columns beside it repeat it so that it can be found."""

    number = models.PositiveBigIntegerField(unique=True)  # from 1, without gaps
    at = models.DateTimeField()
    kind = models.CharField(max_length=16)
    subject = models.CharField(max_length=255)
    row = models.CharField(max_length=80, blank=True)  # whose fact it is first: "models_registry.gatereport:12"
    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, null=True, related_name="ledger_entries")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    # what the clock collected of the porter's log; empty for facts of this room
    audit_entry = models.OneToOneField(AuditEntry, on_delete=models.PROTECT, null=True, related_name="ledger_entry")
    body = models.TextField()  # canonical JSON
    previous = models.CharField(max_length=64, blank=True)
    digest = models.CharField(max_length=64)  # SHA-256 of the previous digest, a line end, and the body

    class Meta:
        ordering = ["-number"]
        verbose_name_plural = "ledger entries"
        indexes = [
            # read by the page of the ledger: one kind, one detector, newest first
            models.Index(fields=["kind", "-number"], name="ledger_by_kind"),
            models.Index(fields=["detector", "-number"], name="ledger_by_detector"),
            # read by models_registry.services.ledger.about
            models.Index(fields=["row"], name="ledger_by_row"),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.kind} {self.subject}"

    @property
    def kind_label(self) -> str:
        return str(LedgerKind(self.kind).label) if self.kind in LedgerKind.values else self.kind


class LedgerCheck(models.Model):
    """The ledger was read through by the clock: how much that was, and what is not as it says."""

    at = models.DateTimeField(default=timezone.now)
    entries = models.PositiveBigIntegerField()
    rows = models.PositiveBigIntegerField()
    files = models.PositiveBigIntegerField()
    head = models.CharField(max_length=64, blank=True)
    differences = models.PositiveIntegerField()
    findings = models.JSONField(default=list)  # the first of them, as `verify_ledger` prints them

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.entries:,} entries, {self.rows:,} rows, {self.files:,} files: {self.differences:,} differences"
