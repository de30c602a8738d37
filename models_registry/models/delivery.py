"""What left the house: which bundle was published to whom, and when. A customer's deadline waits for such a row."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.evidence import Evidence, EvidenceQuerySet
from models_registry.models.bundles import Bundle
from models_registry.models.customers import Customer


class Channel(models.TextChoices):
    CANARY = "canary", _("canary")
    STABLE = "stable", _("stable")
    CUSTOMER = "customer", _("one customer")


class PublicationQuerySet(EvidenceQuerySet["Publication"]):
    def reaching(self, customer: Customer, channel: str = Channel.STABLE) -> PublicationQuerySet:
        """Publications that appliances of a customer on a channel have seen, newest first."""
        return self.filter(Q(channel=channel) | Q(channel=Channel.CUSTOMER, customer=customer)).order_by("-id")


class Publication(Evidence):
    """A bundle is in the feed from this moment on: told to a channel, or to one customer."""

    bundle = models.ForeignKey(Bundle, on_delete=models.PROTECT, related_name="publications")
    channel = models.CharField(max_length=8, choices=Channel.choices)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, null=True, related_name="publications")
    published_at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    objects = PublicationQuerySet.as_manager()  # type: ignore[misc]  # a manager with more questions

    class Meta:
        ordering = ["-id"]
        indexes = [
            # read by triage: what was published since a customer complained
            models.Index(fields=["channel", "published_at"], name="publication_by_channel"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(channel=Channel.CUSTOMER, customer__isnull=False)
                | (~Q(channel=Channel.CUSTOMER) & Q(customer=None)),
                name="customers_publications_name_one",
            )
        ]

    def __str__(self) -> str:
        return f"{self.bundle} → {self.customer or self.channel}"
