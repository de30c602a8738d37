"""Who serves whom: a person of support sees the complaints of these customers and of no others."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.roles import Role
from accounts.services import audit
from accounts.services.users import RefusedError
from models_registry.models import Customer
from triage.models import Complaint, Serving


def customers_of(reader: User) -> Any:
    """Return the customers a reader works for: those they serve, or all where their role is another."""
    mine = Serving.objects.customers_of(reader)
    return Customer.objects.all() if mine is None else Customer.objects.filter(pk__in=mine)


@transaction.atomic
def serve(user: User, customer: Customer | None, *, by: User | None = None) -> Serving:
    """Let a person of support serve a customer, or all of them. Raises RefusedError."""
    if not user.has_role(Role.SUPPORT):
        raise RefusedError(_("%(user)s is no customer support.") % {"user": user})
    made, is_new = Serving.objects.get_or_create(user=user, customer=customer, defaults={"by": by})
    if is_new:
        audit.record(by, "serving.begun", user.username, customer=customer.name if customer else "*")
    return made


@transaction.atomic
def end(serving: Serving, *, by: User) -> None:
    """End that a person serves a customer."""
    audit.record(
        by, "serving.ended", serving.user.username, customer=serving.customer.name if serving.customer else "*"
    )
    Serving.objects.filter(pk=serving.pk).delete()


def looked(reader: User, complaint: Complaint, what: str = "page") -> None:
    """Write down that somebody looked at a customer's data."""
    audit.record(reader, "complaint.viewed", complaint.number, customer=complaint.customer.name, what=what)
