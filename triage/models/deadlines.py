"""Promises with a clock: of complaints and of incidents. The head says where a clock stands, its changes say why."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence
from detection import clock
from detection.clock import Change, Face, Mark, Reading, Terms
from models_registry.models import Customer


class Severity(models.TextChoices):
    NORMAL = "normal", _("normal")
    HIGH = "high", _("high")
    CRITICAL = "critical", _("critical")


class Promise(Evidence):
    """What a customer's contract promises for a severity. Added, never edited: the newest is in force."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="promises")
    severity = models.CharField(max_length=8, choices=Severity.choices)
    hours = models.FloatField(null=True)  # None: nothing is promised
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=Q(hours=None) | Q(hours__gt=0), name="promises_take_some_time")]

    def __str__(self) -> str:
        return f"{self.customer}, {self.severity}: {self.hours} h"


class Deadline(models.Model):
    """Where one clock stands. Written by triage.services.deadlines in the transaction that writes the change."""

    started_at = models.DateTimeField()
    terms = models.JSONField()  # detection.clock.Terms, as promised then
    severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.NORMAL)
    promised_at = models.DateTimeField(null=True)  # the deadline before any rest; None: nothing was promised
    due_at = models.DateTimeField(null=True)  # the deadline in force
    paused_at = models.DateTimeField(null=True)
    stopped_at = models.DateTimeField(null=True)
    # of a running clock: the next warning, breach or escalation; the mailbox of triage.services.deadlines.watch
    next_mark_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # read by triage.services.deadlines.watch
            models.Index(fields=["next_mark_at"], name="deadline_to_mark", condition=Q(next_mark_at__isnull=False)),
            # read by lists and the home page: nearest first
            models.Index(fields=["due_at"], name="deadline_open", condition=Q(stopped_at=None)),
        ]

    def __str__(self) -> str:
        return f"due {self.due_at}"

    @property
    def face(self) -> Face:
        return Face(self.due_at, self.paused_at, self.stopped_at)

    @property
    def promised(self) -> Terms:
        return Terms.from_dict(self.terms)

    def reading(self, now: datetime | None = None) -> Reading:
        """Return what the clock shows."""
        now = now or timezone.now()
        warn = self.promised.warn_before
        return clock.reading(self.due_at, self.stopped_at, now, paused_at=self.paused_at, warn_before=warn)


class DeadlineChange(Evidence):
    """A clock was started, paused, resumed or stopped. Replayed, these rows give its head."""

    deadline = models.ForeignKey(Deadline, on_delete=models.PROTECT, related_name="changes")
    kind = models.CharField(max_length=8, choices=[(kind.value, kind.value) for kind in Change])
    at = models.DateTimeField()
    due_at = models.DateTimeField(null=True)  # after it
    reason = models.CharField(max_length=255, blank=True)
    noted_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.at:%F %T}"


NOTICES = [(Mark.WARNING, _("warning")), (Mark.BREACH, _("breach")), (Mark.ESCALATION, _("escalation"))]


class DeadlineNotice(Evidence):
    """A running clock passed a mark. Once for each clock and mark, even if the deadline moved later."""

    deadline = models.ForeignKey(Deadline, on_delete=models.PROTECT, related_name="notices")
    kind = models.CharField(max_length=10, choices=[(kind.value, name) for kind, name in NOTICES])
    level = models.PositiveSmallIntegerField(default=0)  # of an escalation
    due_at = models.DateTimeField()  # as it was then
    passed_at = models.DateTimeField()  # the mark itself
    at = models.DateTimeField()  # when it was noticed

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["deadline", "kind", "level"], name="one_notice_per_mark_passed")]

    def __str__(self) -> str:
        return f"{self.kind} {self.passed_at:%F %T}"
