"""The field of the demo: invented sites that are heard by the real intake, one of them gone bad and one silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from accounts.roles import Role
from config.demo import field
from models_registry.models import Bundle, BundleEntry
from tests import factories, feeds
from triage import tasks
from triage.models import Incident, Stream, TelemetryWindow
from triage.services import incidents
from triage.services.risk import places
from triage.services.telemetry import days

pytestmark = pytest.mark.django_db
DAYS = 30  # the demo tells of more: a stream learns for 28
NOW = datetime(2026, 6, 10, 9, 20, tzinfo=UTC)


def delivered_bundle() -> Bundle:
    """Return a bundle on the stable channel: an active version, and the one before it silently."""
    older = factories.make_version(stage="silent")
    version = factories.make_version(detector=older.detector, number=2, stage="active")
    bundle = factories.make_bundle(metadata={"bundle": "b1", "contract": {"name": "http"}})
    gate = factories.make_gate_report(version=version, threshold=0.5)
    BundleEntry.objects.create(bundle=bundle, version=version, threshold=0.5, is_silent=False, gate_report=gate)
    BundleEntry.objects.create(bundle=bundle, version=older, threshold=0.5, is_silent=True)
    feeds.make_publication(bundle=bundle, channel="stable")
    return bundle


@pytest.fixture
def house(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, time_machine: Any) -> list[Any]:
    time_machine.move_to(NOW)
    feeds.make_feed(settings, tmp_path)
    settings.VAR = tmp_path
    monkeypatch.setattr(field, "DAYS", DAYS)
    monkeypatch.setattr(field, "PLACES", [one for one in field.PLACES if one.odds > 1 or one.quiet])
    asked: list[Any] = []
    monkeypatch.setattr(
        field.app, "send_task", lambda name, **options: asked.append(getattr(tasks, name.rpartition(".")[2]))
    )
    return asked


def test_nothing_is_told_before_a_bundle_is_with_customers(house: list[Any]) -> None:
    assert field.tell(NOW, factories.make_user(Role.ENGINEER)) == 0
    assert not house


def test_one_site_goes_bad_one_is_silent_and_later_starts_tell_only_what_is_new(
    house: list[Any], client: Any, time_machine: Any
) -> None:
    bundle, engineer = delivered_bundle(), factories.make_user(Role.ENGINEER)
    assert field.tell(NOW, engineer) == 2 * DAYS + 9 + 2 * (DAYS - 5)
    assert field.tell(NOW, engineer) == 0
    assert len(house) == 1, "the worker is asked once"
    days.close_due(NOW)
    incident = Incident.objects.get()
    assert (str(incident.customer), incident.version.number, incident.is_up) == ("Synthetic factory", 2, True)
    assert incident.since == NOW.date() - timedelta(days=1)
    assert incident.reading.state == "running"
    client.force_login(engineer)
    page = client.get(reverse("triage:incident", args=[incident.pk])).text
    assert "product at Hall" in page and "5.2" in page
    assert "Synthetic school" in client.get(reverse("triage:silent-sites")).text
    shown = client.get(reverse("triage:field-versions", args=[incident.version_id])).text
    assert str(bundle.entries.get(is_silent=True).version) in shown
    assert set(Stream.objects.filter(is_silent=True).values_list("version__number", flat=True)) == {1}
    assert TelemetryWindow.objects.filter(bundle=bundle).count() == TelemetryWindow.objects.count()
    told = places.of_version(incident.version, 0.5)  # sites count scores, from which thresholds are proposed
    assert {one.name for one in told.places} == {"Synthetic factory · Hall", "Synthetic school · Campus"}
    assert all(0.5 < one.found.threshold < 1 and one.now > one.found.expected for one in told.places)

    later = NOW + timedelta(hours=2)
    time_machine.move_to(later)
    assert field.tell(later, engineer) == 2


def test_the_clock_of_the_bad_site_runs_although_its_channel_has_a_silent_bundle(house: list[Any]) -> None:
    spoke, engineer = delivered_bundle(), factories.make_user(Role.ENGINEER)
    customer = factories.make_customer(name=field.GOES_BAD)
    feeds.make_publication(bundle=spoke, channel="customer", customer=customer)
    later = factories.make_bundle(metadata={"bundle": "b2", "contract": {"name": "http"}})
    BundleEntry.objects.create(
        bundle=later, version=spoke.entries.get(is_silent=False).version, threshold=0.5, is_silent=True
    )
    feeds.make_publication(bundle=later, channel="stable")
    field.tell(NOW, engineer)
    days.close_due(NOW)
    incidents.follow(NOW)
    incident = Incident.objects.get()
    assert (incident.customer, incident.state, incident.reading.state) == (customer, "open", "running")
    feeds.make_publication(bundle=later, channel="customer", customer=customer)  # what somebody would do
    field.tell(NOW + timedelta(hours=1), engineer)
    newest = TelemetryWindow.objects.filter(customer=customer).latest("hour")
    incidents.follow(NOW)
    incident.refresh_from_db()
    assert (newest.bundle, incident.state) == (later, "mitigated")
