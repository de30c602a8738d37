"""Every fix says since when it is in force for the customer, that it is not yet published, or that it is no more."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from models_registry.models import Bundle, BundleEntry, Publication
from models_registry.services import bundles
from tests.factories import make_bundle
from tests.feeds import make_publication
from tests.field import make_incident
from tests.triage.conftest import ATTACK, build
from triage.models import Complaint, State
from triage.services import complaints, filing, fixes, states

pytestmark = pytest.mark.django_db


@pytest.fixture
def complaint(loud, customer, support) -> Complaint:
    """A confirmed complaint about the bundle that the stable channel has."""
    make_publication(bundle=Bundle.objects.get())
    made = filing.file(customer, ATTACK, "x", support)
    states.enter(made, State.CONFIRMED)
    return made


def page_of(client, complaint: Complaint) -> str:
    return client.get(reverse("triage:complaint", args=[complaint.pk])).text


def test_a_fix_is_not_yet_published_then_in_force_then_flagged_again(complaint, loud, engineer_client):
    flagging, fix = Bundle.objects.get(), build(loud, silent=True)
    assert complaints.follow() == 1
    assert "not yet published" in page_of(engineer_client, complaint)
    own = make_publication(bundle=fix, channel="customer", customer=complaint.customer)
    complaints.follow()
    assert f"in force on bundle {fix} since {own.published_at:%Y-%m-%d %H:%M}" in page_of(engineer_client, complaint)
    make_publication(bundle=flagging, customer=complaint.customer)  # back on stable
    page = page_of(engineer_client, complaint)
    assert "flagged again" in page and "which flags the session again" in page
    other = build(loud, threshold=0.9999999, silent=True)
    make_publication(bundle=other)
    page = page_of(engineer_client, complaint)
    assert f"in force on bundle {other} since" in page and "flagged again" not in page


def test_an_older_bundle_that_reaches_him_after_his_complaint_is_a_fix(loud, customer, support):
    """His own bundle flags it, and that of the channel to which he comes back does not."""
    flagging, old = Bundle.objects.get(), build(loud, silent=True)
    own = bundles.build(flagging.config, "5.2")  # as before, for a newer product: a later bundle
    make_publication(bundle=old)
    make_publication(bundle=own, channel="customer", customer=customer)
    made = filing.file(
        customer,
        ATTACK,
        "x",
        support,
    )
    states.enter(made, State.CONFIRMED)
    assert made.bundle == own and fixes.in_force(made) is None
    back = make_publication(bundle=old, customer=customer)
    found = fixes.in_force(made)
    assert found is not None and (found.first, found.flags) == (back, False)


def test_the_price_of_another_bundle_names_the_complaints_that_come_back(complaint, loud, engineer_client):
    flagging, silent = Bundle.objects.get(), build(loud, silent=True)
    assert fixes.flagged_again(complaint.customer, flagging) == (1, [complaint])
    assert fixes.flagged_again(complaint.customer, silent) == (1, [])
    told = engineer_client.get(reverse("triage:flagged-again", args=[complaint.customer_id, flagging.pk])).text
    assert complaint.number in told
    told = engineer_client.get(reverse("triage:flagged-again", args=[complaint.customer_id, silent.pk])).text
    assert "1 complaint of his was tried" in told


def test_an_incident_says_whether_a_bundle_without_its_verdict_is_in_force(engineer_client):
    incident = make_incident()
    page = reverse("triage:incident", args=[incident.pk])
    assert "not yet published" in engineer_client.get(page).text
    bundle = make_bundle(metadata={"contract": {"name": incident.detector.protocol}})
    BundleEntry.objects.create(bundle=bundle, version=incident.version, threshold=0.9, is_silent=True)
    make_publication(bundle=bundle, published_at=timezone.now())
    at = Publication.objects.get().published_at
    assert f"in force on bundle {bundle} since {at:%Y-%m-%d %H:%M}" in engineer_client.get(page).text
