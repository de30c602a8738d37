"""Who runs our bundles: customers and their sites. Their traffic is never seen here."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Customer(models.Model):
    """Somebody who gets bundles and may complain about verdicts."""

    name = models.CharField(max_length=100, unique=True)
    feed_role = models.CharField(max_length=32, blank=True)  # opaque: other customers see this name in the feed
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["feed_role"], condition=~models.Q(feed_role=""), name="one_customer_per_role"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Site(models.Model):
    """One place of a customer where an appliance runs."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="sites")
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["customer__name", "name"]
        constraints = [models.UniqueConstraint(fields=["customer", "name"], name="one_site_per_name")]

    def __str__(self) -> str:
        return f"{self.customer} · {self.name}"
