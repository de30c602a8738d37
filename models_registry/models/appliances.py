"""Appliances: where bundles run, by which key they speak, and what they told last."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.evidence import Evidence
from accounts.models import Token
from models_registry.models.bundles import Bundle
from models_registry.models.customers import Site
from models_registry.models.delivery import Channel

LISTENS = [(Channel.CANARY.value, Channel.CANARY.label), (Channel.STABLE.value, Channel.STABLE.label)]


class EnrolmentCode(models.Model):
    """A code for one appliance of a site. Only its digest is kept."""

    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="enrolment_codes")
    channel = models.CharField(max_length=8, choices=LISTENS)
    digest = models.CharField(max_length=64, unique=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.site}, {self.channel}"


class Appliance(models.Model):
    """One installation at a site. What it sends is signed by its key, with a counter that only grows."""

    site = models.ForeignKey(Site, on_delete=models.PROTECT, related_name="appliances")
    name = models.CharField(max_length=64, unique=True)  # opaque; the appliance signs under it
    public_key = models.CharField(max_length=64)  # ed25519, hex
    channel = models.CharField(max_length=8, choices=LISTENS)
    token = models.OneToOneField(Token, on_delete=models.PROTECT, related_name="appliance")
    counter = models.PositiveBigIntegerField(default=0)  # of the newest message
    enrolled_at = models.DateTimeField(default=timezone.now)
    last_contact_at = models.DateTimeField(null=True)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["site__customer__name", "site__name", "id"]

    def __str__(self) -> str:
        return f"{self.site} · {self.name}"


class ApplianceReport(Evidence):
    """An appliance said which bundle it runs."""

    appliance = models.ForeignKey(Appliance, on_delete=models.PROTECT, related_name="reports")
    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, null=True, related_name="reports")
    digest = models.CharField(max_length=64)  # of the file it runs
    protocol = models.CharField(max_length=16)
    since = models.DateTimeField()  # as it told
    product_version = models.CharField(max_length=32, blank=True)
    stale_hours = models.PositiveIntegerField(default=0)  # since its metadata expired
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["appliance", "protocol", "-id"], name="report_newest_first")]

    def __str__(self) -> str:
        return f"{self.appliance}: {self.digest[:12]}"
