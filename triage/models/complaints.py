"""Complaints: a customer says "false positive". What was received and every state it went through stay as rows."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Min, OuterRef, Q, Subquery, When
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence, EvidenceQuerySet
from labeling.models import Item
from models_registry.models import Bundle, Customer, Detector, Site, Version


class State(models.TextChoices):
    RECEIVED = "received", _("received")
    REPRODUCED = "reproduced", _("reproduced")
    CONFIRMED = "confirmed", _("confirmed")
    REJECTED = "rejected", _("rejected")
    NEEDS_INFORMATION = "needs-information", _("needs information")
    FIX_IN_CANDIDATE = "fix-in-candidate", _("fix in candidate")
    FIXED_IN_BUNDLE = "fixed-in-bundle", _("fixed in bundle")
    PUBLISHED = "published", _("published")
    TOLD = "told", _("told")


class ComplaintQuerySet(EvidenceQuerySet["Complaint"]):
    def with_state(self) -> ComplaintQuerySet:
        """Add `state` (the newest), and what its clock shows: `due_now`, `paused_at`, `stopped_at`."""
        rows = ComplaintState.objects.filter(complaint=OuterRef("pk")).order_by()
        newest = rows.order_by("-id")
        stops = rows.filter(state__in=(State.PUBLISHED, State.TOLD)).values("complaint").annotate(first=Min("at"))
        return self.annotate(
            state=Subquery(newest.values("state")[:1]),
            stopped_at=Subquery(stops.values("first")),
            due_now=Coalesce(Subquery(newest.exclude(due_at=None).values("due_at")[:1]), F("due_at")),
            paused_at=Case(When(state=State.NEEDS_INFORMATION, then=Subquery(newest.values("at")[:1]))),
        )

    def running(self) -> ComplaintQuerySet:
        """Complaints whose clock runs."""
        waiting: Any = self.unanswered().with_state()
        running: ComplaintQuerySet = waiting.filter(stopped_at=None, paused_at=None)
        return running

    def unanswered(self) -> ComplaintQuerySet:
        """Complaints whose customer has no answer yet."""
        told = ComplaintState.objects.filter(complaint=OuterRef("pk"), state=State.TOLD)
        return self.exclude(models.Exists(told))


class Complaint(Evidence):
    """What a customer says was flagged, and what the bundle he runs says of it here."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="complaints")
    site = models.ForeignKey(Site, on_delete=models.PROTECT, null=True, related_name="complaints")
    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, related_name="complaints")
    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="complaints")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="complaints")  # of the bundle
    flagged = models.TextField()  # as pasted
    row = models.TextField()  # the session row that was scored, as JSON
    shape = models.CharField(max_length=64)  # look-alike key
    contact = models.CharField(max_length=200)
    note = models.TextField(blank=True)
    score_told = models.CharField(max_length=24, blank=True)  # as the customer's appliance wrote it
    score = models.FloatField()
    threshold = models.FloatField()  # of the bundle
    reproduced = models.BooleanField()  # the verdict is positive here too, and the score the same where one was told
    received_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField()
    filed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    filed_at = models.DateTimeField(default=timezone.now)

    objects = ComplaintQuerySet.as_manager()  # type: ignore[misc]  # a manager with more questions

    class Meta:
        ordering = ["-id"]
        indexes = [
            # read by triage.services.complaints: nearest deadline first
            models.Index(fields=["due_at"], name="complaint_by_deadline"),
            # read by the complaint's page: same look at other customers
            models.Index(fields=["detector", "shape"], name="complaint_by_look"),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def number(self) -> str:
        return f"C-{self.pk}"


_ONCE = (State.FIX_IN_CANDIDATE, State.FIXED_IN_BUNDLE, State.PUBLISHED, State.TOLD)
_DECIDED = (State.CONFIRMED, State.REJECTED)


class ComplaintState(Evidence):
    """A complaint entered a state. The newest row is the state it is in."""

    complaint = models.ForeignKey(Complaint, on_delete=models.PROTECT, related_name="states")
    state = models.CharField(max_length=20, choices=State.choices)
    reason = models.TextField(blank=True)  # why it was rejected, what is missing, what the customer was told
    item = models.ForeignKey(Item, on_delete=models.PROTECT, null=True, related_name="+")  # received: whom it asks
    version = models.ForeignKey(Version, on_delete=models.PROTECT, null=True, related_name="+")  # the fix
    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, null=True, related_name="+")  # the fix
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    due_at = models.DateTimeField(null=True)  # received again: the deadline, moved by the rest
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["complaint", "state"], condition=Q(state__in=_ONCE), name="one_step_per_complaint"
            ),
            models.UniqueConstraint(
                fields=["complaint"], condition=Q(state__in=_DECIDED), name="one_decision_per_complaint"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=(State.REJECTED, State.NEEDS_INFORMATION, State.TOLD), reason=""),
                name="answers_have_words",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.complaint}: {self.state}"


class Notice(models.TextChoices):
    WARNING = "warning", _("warning")
    BREACH = "breach", _("breach")


class ComplaintNotice(Evidence):
    """The clock of a complaint passed a mark. Once for each complaint and mark, even if the deadline moved later."""

    complaint = models.ForeignKey(Complaint, on_delete=models.PROTECT, related_name="notices")
    kind = models.CharField(max_length=8, choices=Notice.choices)
    due_at = models.DateTimeField()  # as it was then
    passed_at = models.DateTimeField()  # the mark itself
    at = models.DateTimeField()  # when it was noticed

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["complaint", "kind"], name="one_notice_per_mark")]

    def __str__(self) -> str:
        return f"{self.complaint}: {self.kind}"
