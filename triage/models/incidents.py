"""Incidents: the counts of the field disagree with the bench. The head says where one stands, its steps say why."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence
from accounts.models import User
from detection.clock import Reading
from models_registry.models import Bundle, Customer, Detector, Version
from triage.models.complaints import Serving
from triage.models.deadlines import Deadline
from triage.models.telemetry import Stream


class IncidentState(models.TextChoices):
    OPEN = "open", _("open")
    ACKNOWLEDGED = "acknowledged", _("acknowledged")
    MITIGATED = "mitigated", _("mitigated")
    CLOSED = "closed", _("closed")


class Closing(models.TextChoices):
    """Why an incident is over; each says what becomes of the stream."""

    MODEL_FIXED = "model-fixed", _("model fixed")  # U = D = 0, the reference stays
    NEW_NORMAL = "new-normal", _("new normal")  # learns anew
    HEURISTICS_CHANGED = "heuristics-changed", _("heuristics changed")  # all streams of the customer learn anew
    FALSE_ALARM = "false-alarm", _("false alarm")  # U = D = 0, the reference learns again


class IncidentQuerySet(models.QuerySet["Incident"]):
    def visible_to(self, reader: User) -> IncidentQuerySet:
        """Incidents of the customers that a person of support serves, and the fleet's; everybody else sees all."""
        served = Serving.objects.customers_of(reader)
        return self if served is None else self.filter(Q(customer__in=served) | Q(customer=None))

    def unclosed(self) -> IncidentQuerySet:
        return self.exclude(state=IncidentState.CLOSED)

    def listed(self) -> IncidentQuerySet:
        """With what a line of a list shows."""
        return self.select_related("customer", "version__detector", "deadline", "stream")


class Incident(models.Model):
    """The ratio of a stream has changed, surely and by enough to matter. Written by triage.services.incidents."""

    stream = models.ForeignKey(Stream, on_delete=models.PROTECT, null=True, related_name="incidents")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="incidents")  # None: fleet
    detector = models.ForeignKey(Detector, on_delete=models.PROTECT, related_name="incidents")
    version = models.ForeignKey(Version, on_delete=models.PROTECT, related_name="incidents")
    kind = models.CharField(max_length=6, choices=Stream.Kind.choices)
    is_up = models.BooleanField()
    fleet = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="attached")
    state = models.CharField(max_length=12, choices=IncidentState.choices, default=IncidentState.OPEN)
    deadline = models.OneToOneField(Deadline, on_delete=models.PROTECT, related_name="incident")
    # what the statistic said, last
    since = models.DateField()  # the change began
    odds_ratio = models.FloatField()
    mu = models.FloatField()  # reference, before
    changed_x = models.PositiveBigIntegerField()
    changed_n = models.PositiveBigIntegerField()
    statistic = models.FloatField()
    needed = models.FloatField()  # A, when it was opened
    policy = models.JSONField()  # detection.divergence.Policy as a dict
    threshold = models.FloatField(null=True)  # of the version, in the bundle that counted; None: unknown
    opened_day = models.DateField()  # the period that opened it
    last_day = models.DateField()  # the period that spoke last
    opened_at = models.DateTimeField(default=timezone.now)
    acknowledged_at = models.DateTimeField(null=True)
    mitigated_at = models.DateTimeField(null=True)
    mitigated_by = models.ForeignKey(Bundle, on_delete=models.PROTECT, null=True, related_name="+")
    closed_at = models.DateTimeField(null=True)
    closed_day = models.DateField(null=True)  # newest period then
    closing = models.CharField(max_length=20, choices=Closing.choices, blank=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["stream"], condition=~Q(state="closed"), name="one_open_incident_per_stream"
            ),
            models.UniqueConstraint(
                fields=["version", "kind", "is_up"],
                condition=Q(customer=None) & ~Q(state="closed"),
                name="one_open_fleet_incident",
            ),
        ]
        indexes = [
            models.Index(fields=["state"], name="incident_unclosed", condition=~Q(state="closed")),
            models.Index(fields=["customer", "-id"], name="incident_by_customer"),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def number(self) -> str:
        return f"I-{self.pk}"

    @property
    def is_fleet(self) -> bool:
        return self.customer_id is None

    @property
    def share(self) -> float:
        """Successes in trials since the change, as the odds ratio takes them."""
        return (self.changed_x + 0.5) / (self.changed_n + 1)

    @property
    def effect(self) -> float:
        """How many times the odds changed, up or down."""
        return self.odds_ratio if self.is_up else 1 / self.odds_ratio

    @property
    def reading(self) -> Reading:
        """What the clock shows now."""
        return self.deadline.reading()


class IncidentStep(Evidence):
    """An incident entered a state, or was told of something. Added, never edited."""

    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="steps")
    state = models.CharField(max_length=12, choices=IncidentState.choices)
    closing = models.CharField(max_length=20, choices=Closing.choices, blank=True)
    reason = models.TextField(blank=True)
    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, null=True, related_name="+")  # that mitigated
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["incident", "state"], name="one_step_per_incident_state")]

    def __str__(self) -> str:
        return f"{self.incident}: {self.state}"
