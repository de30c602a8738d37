"""Customers and their sites: a list and two small forms."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.roles import Role
from models_registry.models import Customer, Site
from tests.factories import make_customer, make_user

pytestmark = pytest.mark.django_db
LIST, NEW = reverse("triage:customers"), reverse("models_registry:create-customer")


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.ENGINEER])
def test_a_customer_and_a_site_are_added(client, role):
    client.force_login(make_user(role))
    assert "No customer yet" in client.get(LIST).text
    assert "Added: A &amp; B" in client.post(NEW, {"name": "  A &  B "}, follow=True).text
    customer = Customer.objects.get(name="A & B")
    page = client.post(reverse("models_registry:create-site", args=[customer.pk]), {"name": "Oslo"}, follow=True).text
    assert "Oslo" in page
    assert Site.objects.get().customer == customer
    assert list(AuditEntry.objects.values_list("action", flat=True)[:2]) == ["site.created", "customer.created"]


def test_names_are_taken_once(engineer_client):
    customer = make_customer(name="ACME")
    site = reverse("models_registry:create-site", args=[customer.pk])
    engineer_client.post(site, {"name": "Oslo"})
    for url, name in ((NEW, "ACME"), (NEW, ""), (NEW, "x" * 101), (NEW, "a\0b"), (site, "Oslo"), (site, " ")):
        assert "flash--error" in engineer_client.post(url, {"name": name}, follow=True).text
    assert (Customer.objects.count(), Site.objects.count()) == (1, 1)


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.AUDITOR])
def test_others_read(client, role):
    make_customer(name="ACME")
    client.force_login(make_user(role))
    page = client.get(LIST).text
    assert "ACME" in page
    assert NEW not in page
    assert client.post(NEW, {"name": "B"}).status_code == 403


def test_experts_need_no_list_of_customers(expert_client):
    assert expert_client.get(LIST).status_code == 403
