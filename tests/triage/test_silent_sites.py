from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from models_registry.models import Appliance
from tests import factories, field
from triage.models import Serving

pytestmark = pytest.mark.django_db
URL = reverse("triage:silent-sites")


@pytest.fixture
def old_site():
    site = field.make_voice().appliance.site
    Appliance.objects.update(enrolled_at=timezone.now() - timedelta(days=9))
    return site


def test_every_site_spoke(expert_client):
    assert "None: every site in use told of the last days." in expert_client.get(URL).text


def test_a_site_that_never_spoke_is_named(expert_client, old_site):
    page = expert_client.get(URL).text
    assert str(old_site) in page
    assert "its installation is not finished" in page
    assert reverse("triage:site-telemetry", args=[old_site.pk]) in page


def test_support_sees_the_sites_of_the_customers_they_serve(client, old_site):
    reader = factories.make_user(Role.SUPPORT, serves_all=False)
    client.force_login(reader)
    assert str(old_site) not in client.get(URL).text
    Serving.objects.create(user=reader, customer=old_site.customer)
    assert str(old_site) in client.get(URL).text
