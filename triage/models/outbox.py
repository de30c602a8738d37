"""What is told outside the house: announcements, who wants them, and every attempt to deliver one."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence
from labeling.models import Item
from models_registry.models import Customer, Publication


class Topic(models.TextChoices):
    """What an announcement is about; "a.b" as webhooks name their types."""

    COMPLAINT_RECEIVED = "complaint.received", _("complaint received")
    COMPLAINT_ASKED = "complaint.needs-information", _("information needed")
    COMPLAINT_CONFIRMED = "complaint.confirmed", _("complaint confirmed")
    COMPLAINT_REJECTED = "complaint.rejected", _("complaint rejected")
    COMPLAINT_FIXED = "complaint.fixed-in-bundle", _("complaint fixed in a bundle")
    COMPLAINT_PUBLISHED = "complaint.published", _("fix published")
    COMPLAINT_TOLD = "complaint.told", _("customer told")
    DEADLINE_WARNING = "deadline.warning", _("deadline near")
    DEADLINE_BREACH = "deadline.breach", _("deadline breached")
    DEADLINE_ESCALATION = "deadline.escalation", _("breach escalated")
    UNIQUE_DETECT = "label.unique-detect", _("unique detect confirmed")
    FALSE_POSITIVE = "label.false-positive", _("false positive confirmed")
    RELEASE_PUBLISHED = "release.published", _("bundle published")
    LEDGER_BROKEN = "ledger.broken", _("ledger broken")
    INCIDENT_OPENED = "incident.opened", _("incident opened")
    INCIDENT_UNSEEN = "incident.unseen", _("nobody acknowledged an incident")
    INCIDENT_KIT = "incident.kit-wanted", _("a kit is wanted")
    INCIDENT_MITIGATED = "incident.mitigated", _("incident mitigated")
    INCIDENT_CLOSED = "incident.closed", _("incident closed")
    SITE_SILENT = "site.silent", _("site silent")
    TEST = "test", _("test")


class Subscription(models.Model):
    """Somebody or something wants to hear of topics: a mailbox, a webhook, a syslog server."""

    class Carrier(models.TextChoices):
        MAIL = "mail", _("e-mail")
        WEBHOOK = "webhook", _("webhook")
        SYSLOG = "syslog", _("syslog")

    carrier = models.CharField(max_length=8, choices=Carrier.choices)
    target = models.CharField(max_length=500)  # address; https URL; udp://HOST:PORT or tcp://HOST:PORT
    secret = models.CharField(max_length=100, blank=True)  # of webhooks: whsec_..., shown to administrators once
    topics = models.JSONField()  # names of Topic, or "complaint." and the like; empty: all
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+")  # None: of all
    language = models.CharField(max_length=8, default="en")
    active = models.BooleanField(default=True)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    failing_since = models.DateTimeField(null=True)  # no delivery has gone well since

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.carrier} {self.target}"

    def wants(self, topic: str) -> bool:
        return not self.topics or any(topic == one or topic.startswith(one) for one in self.topics)


class Announcement(Evidence):
    """Something happened that others may want to hear. The key says what it is about: told once."""

    key = models.CharField(max_length=100, unique=True)
    topic = models.CharField(max_length=32, choices=Topic.choices)
    subject = models.CharField(max_length=200)
    payload = models.JSONField()
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="+")
    item = models.OneToOneField(Item, on_delete=models.PROTECT, null=True, related_name="announcement")
    publication = models.OneToOneField(Publication, on_delete=models.PROTECT, null=True, related_name="announcement")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.topic}: {self.subject}"


class DeliveryState(models.TextChoices):
    WAITING = "waiting", _("waiting")
    DELIVERED = "delivered", _("delivered")
    GIVEN_UP = "given-up", _("given up")


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def due(self, now: datetime) -> DeliveryQuerySet:
        """Waiting, and it is time to try."""
        return self.filter(state=DeliveryState.WAITING, next_at__lte=now)


class Delivery(models.Model):
    """An announcement on its way to one subscriber."""

    announcement = models.ForeignKey(Announcement, on_delete=models.PROTECT, related_name="deliveries")
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, null=True, related_name="deliveries")
    address = models.CharField(max_length=254, blank=True)  # a person's mailbox, without a subscription
    state = models.CharField(max_length=9, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(default=timezone.now)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["announcement", "subscription", "address"], name="one_delivery_per_target")
        ]
        indexes = [
            # read by triage.services.outbox.deliver
            models.Index(fields=["next_at"], name="delivery_waiting", condition=Q(state="waiting")),
        ]

    def __str__(self) -> str:
        return f"{self.announcement} to {self.subscription or self.address}"


class DeliveryAttempt(Evidence):
    """One try to deliver, and what the other side said."""

    delivery = models.ForeignKey(Delivery, on_delete=models.PROTECT, related_name="tries")
    delivered = models.BooleanField()
    answer = models.CharField(max_length=300)
    seconds = models.FloatField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.delivery}: {self.answer}"
