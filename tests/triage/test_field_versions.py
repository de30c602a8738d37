from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from tests import factories, field
from triage.models import PairDay, Serving

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair():
    detector = factories.make_detector()
    return [factories.make_version(detector=detector) for _ in range(2)]


def page_of(client, version):
    return client.get(reverse("triage:field-versions", args=[version.pk])).text


def test_a_version_that_nobody_counted_says_so(expert_client, pair):
    page = page_of(expert_client, pair[0])
    assert "No customer counted a version of this detector in these days." in page
    assert "No customer scores it beside another version" in page


def test_versions_stand_beside_each_other_with_their_shares(expert_client, pair):
    day = timezone.now().date() - timedelta(days=2)
    field.make_day(factories.make_customer(), pair[0], day, 10, 40, missed=10)
    field.make_day(factories.make_customer(), pair[1], day, 0, 40, missed=4)
    page = page_of(expert_client, pair[1])
    assert ">25.0</td>" in page  # 10 of 40 by the model alone
    assert ">33.3</td>" in page  # 10 of 30 rule hits missed
    assert ">3,000.0</td>" in page  # 30 flagged of 10,000 scanned
    assert ">10.0</td>" in page  # 4 of 40


def test_pairs_are_compared_exactly_and_in_words(expert_client, pair):
    day = timezone.now().date() - timedelta(days=2)
    PairDay.objects.create(
        customer=factories.make_customer(), a=pair[0], b=pair[1], day=day, both=50, only_a=2, only_b=40, neither=9
    )
    assert f"It surely flags more than {pair[0]}." in page_of(expert_client, pair[1])
    assert f"It surely flags less than {pair[1]}." in page_of(expert_client, pair[0])


def test_support_sees_counts_of_the_customers_they_serve(client, pair):
    day = timezone.now().date() - timedelta(days=2)
    customer = factories.make_customer()
    field.make_day(customer, pair[0], day, 10, 40, missed=10)
    reader = factories.make_user(Role.SUPPORT, serves_all=False)
    client.force_login(reader)
    assert "No customer counted a version" in page_of(client, pair[0])
    Serving.objects.create(user=reader, customer=customer)
    assert ">25.0</td>" in page_of(client, pair[0])
