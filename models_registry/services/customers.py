"""Customers and sites: added by administrators and engineers."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import User
from accounts.services import audit
from models_registry.models import Customer, Site


@transaction.atomic
def make_customer(name: str, by: User | None = None) -> Customer:
    """Add a customer. Raises ValidationError when the name is empty, too long or taken."""
    customer = Customer(name=_text(name))
    _validate(customer)
    customer.save()
    audit.record(by, "customer.created", customer.name)
    return customer


@transaction.atomic
def make_site(customer: Customer, name: str, by: User | None = None) -> Site:
    """Add a site of a customer. Raises ValidationError when the name is empty, too long or taken."""
    site = Site(customer=customer, name=_text(name))
    _validate(site)
    site.save()
    audit.record(by, "site.created", str(site))
    return site


def _validate(row: Customer | Site) -> None:
    row.full_clean(exclude=["created_at"])


def _text(name: str) -> str:
    if "\0" in name:  # PostgreSQL refuses it
        raise ValidationError("A name has no NUL characters.")
    return " ".join(name.split())
