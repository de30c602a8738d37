"""Incidents: opened by counts, seen, mitigated by a publication, closed with a choice that streams follow."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from labeling.models import PriorityRaise
from models_registry.models import BundleEntry, Hold
from models_registry.services import holds
from tests import factories, feeds
from tests.field import START, close, live, make_day, make_incident, quiet
from triage.models import Announcement, Closing, Incident, Stream, StreamDay
from triage.services import deadlines, incidents, served
from triage.services.incidents import IncidentRefused
from triage.services.telemetry import rates

pytestmark = pytest.mark.django_db
BAD = [(52, 64), (50, 64)]


@pytest.fixture
def gone_bad() -> Incident:
    """A customer whose counts changed after 40 quiet days."""
    version, customer = factories.make_version(), factories.make_customer(name="ACME")
    close(live(customer, version, [*quiet(1, 40), *BAD]))
    return Incident.objects.get()


def test_an_incident_holds_back_raises_and_tells(gone_bad: Incident) -> None:
    hold = Hold.objects.get()
    assert (hold.version, hold.source, hold.threshold) == (
        gone_bad.version,
        gone_bad.number,
        gone_bad.version.threshold,
    )
    assert PriorityRaise.objects.get().cause == gone_bad.number
    assert {one.topic for one in Announcement.objects.all()} == {"incident.opened", "incident.kit-wanted"}
    assert gone_bad.reading.state == "running"
    assert gone_bad.deadline.due_at == gone_bad.opened_at + timedelta(hours=24)
    assert gone_bad.since == START + timedelta(days=40) and gone_bad.effect > 1.5


def test_more_alarms_update_it_and_the_reference_stands_still(gone_bad: Incident) -> None:
    assert gone_bad.customer is not None
    day = gone_bad.last_day + timedelta(days=1)
    make_day(gone_bad.customer, gone_bad.version, day, 50, 60)
    close(day)
    again = Incident.objects.get()
    assert (again.last_day, again.changed_n) == (day, 64 + 64 + 60)
    before, after = gone_bad.stream.days.order_by("-day")[1], gone_bad.stream.days.order_by("-day")[0]  # type: ignore[union-attr]
    assert after.ref_n == before.ref_n and after.is_frozen


def test_the_chain_of_a_day(gone_bad: Incident) -> None:
    senior = factories.make_user(Role.SENIOR, email="s@x.example")
    incidents.follow(gone_bad.opened_at + timedelta(hours=11))
    assert not Announcement.objects.filter(topic="incident.unseen").exists()
    incidents.follow(gone_bad.opened_at + timedelta(hours=12))
    incidents.follow(gone_bad.opened_at + timedelta(hours=13))
    assert Announcement.objects.filter(topic="incident.unseen").count() == 1
    incidents.acknowledge(gone_bad, senior, "looking")
    deadlines.watch(gone_bad.opened_at + timedelta(hours=20, minutes=1))
    warned = Announcement.objects.get(topic="deadline.warning")
    assert warned.payload["incident"] == gone_bad.number
    with pytest.raises(IncidentRefused):
        incidents.acknowledge(gone_bad, senior)


def test_a_publication_that_silences_it_stops_the_clock(gone_bad: Incident) -> None:
    bundle = factories.make_bundle(metadata={"contract": {"name": gone_bad.detector.protocol}})
    assert incidents.follow() == 0
    BundleEntry.objects.create(bundle=bundle, version=gone_bad.version, threshold=0.9, is_silent=True)
    published = feeds.make_publication(bundle=bundle, channel="customer", customer=gone_bad.customer)
    assert incidents.follow() == 1
    gone_bad.refresh_from_db()
    assert (gone_bad.state, gone_bad.mitigated_by, gone_bad.mitigated_at) == (
        "mitigated",
        bundle,
        published.published_at,
    )
    assert gone_bad.reading.state == "met"
    assert incidents.follow() == 0


def test_a_publication_that_changes_nothing_about_it_does_not(gone_bad: Incident) -> None:
    gate = factories.make_gate_report(version=gone_bad.version)
    bundle = factories.make_bundle(metadata={"contract": {"name": gone_bad.detector.protocol}})
    BundleEntry.objects.create(
        bundle=bundle, version=gone_bad.version, threshold=0.9, is_silent=False, gate_report=gate
    )
    feeds.make_publication(bundle=bundle)
    Incident.objects.update(threshold=0.9)
    assert incidents.follow() == 0
    Incident.objects.update(threshold=0.8)  # it was counted at another one
    assert incidents.follow() == 1


@pytest.mark.parametrize(("closing", "learns"), [("false-alarm", False), ("new-normal", True)])
def test_closing_begins_the_statistic_anew(gone_bad: Incident, closing: str, learns: bool) -> None:
    assert gone_bad.customer is not None
    senior = factories.make_user(Role.SENIOR)
    day = gone_bad.last_day + timedelta(days=1)
    incidents.close(gone_bad, closing, "it was the backup", senior)
    assert not holds.Hold.objects.open().exists() and not PriorityRaise.objects.standing().exists()
    make_day(gone_bad.customer, gone_bad.version, day, 15, 60)
    close(day)
    row = StreamDay.objects.get(stream__kind="excess", day=day)
    assert (row.is_learning, row.is_tested, row.is_frozen) == (learns, not learns, False)
    assert row.statistic < 10
    reference = gone_bad.stream.days.get(day=gone_bad.last_day).ref_n  # type: ignore[union-attr]
    assert row.ref_n == pytest.approx(60 if learns else reference * 0.5 ** (1 / 30) + 60)
    gone_bad.refresh_from_db()
    assert (gone_bad.state, gone_bad.closed_day) == ("closed", day - timedelta(days=1))
    # the past once more: what was closed is not opened again, and the rows are the same
    before = list(StreamDay.objects.order_by("stream", "day").values_list("day", "statistic", "ref_n"))
    gone_bad.customer.telemetry_days.filter(day__gte=START + timedelta(days=30)).update(stepped_at=None)
    close(day)
    assert list(StreamDay.objects.order_by("stream", "day").values_list("day", "statistic", "ref_n")) == before
    assert Incident.objects.count() == 1


def test_changed_heuristics_let_every_stream_of_the_customer_learn_anew(gone_bad: Incident) -> None:
    incidents.close(gone_bad, Closing.HEURISTICS_CHANGED, "new rules", factories.make_user(Role.SENIOR))
    assert list(Stream.objects.values_list("is_fitted", flat=True)) == [False, False]
    assert {one.restarts.get().reference for one in Stream.objects.all()} == {True}


def test_nothing_closes_without_a_reason_and_no_model_is_fixed_by_words(gone_bad: Incident) -> None:
    engineer = factories.make_user(Role.ENGINEER)
    for closing, reason in (("", "why"), ("false-alarm", " "), ("model-fixed", "we did")):
        with pytest.raises(IncidentRefused):
            incidents.close(gone_bad, closing, reason, engineer)
    assert Incident.objects.get().state == "open"


def test_a_fleet_incident_closes_those_under_it() -> None:
    fleet = make_incident(customer=None)
    under = make_incident(version=fleet.version, fleet=fleet)
    Incident.objects.filter(pk=fleet.pk).update(customer=None)
    fleet.refresh_from_db()
    incidents.close(fleet, "false-alarm", "a test of ours", factories.make_user(Role.SENIOR))
    under.refresh_from_db()
    assert (under.state, under.closing) == ("closed", "false-alarm")
    assert {one.restarts.count() for one in Stream.objects.all()} == {1}


def test_support_sees_the_incidents_of_those_it_serves() -> None:
    mine, other = make_incident(), make_incident()
    support = factories.make_user(Role.SUPPORT, serves_all=False)
    assert mine.customer is not None
    served.serve(support, mine.customer)
    client = Client()
    client.force_login(support)
    page = client.get(reverse("triage:incidents")).content.decode()
    assert mine.number in page and other.number not in page
    assert client.get(reverse("triage:incident", args=[mine.pk])).status_code == 200
    assert client.get(reverse("triage:incident", args=[other.pk])).status_code == 404


def test_an_incident_is_acknowledged_and_closed_on_its_page(gone_bad: Incident) -> None:
    client = Client()
    client.force_login(factories.make_user(Role.ENGINEER))
    page = client.get(reverse("triage:incident", args=[gone_bad.pk])).content.decode()
    assert "102 of 128" in page and "I am at it" in page
    client.post(reverse("triage:acknowledge-incident", args=[gone_bad.pk]), {"note": "mine"})
    refused = client.post(
        reverse("triage:close-incident", args=[gone_bad.pk]), {"closing": "model-fixed", "reason": "x"}
    )
    assert refused.status_code == 409 and "is published to the customer yet" in refused.content.decode()
    done = client.post(
        reverse("triage:close-incident", args=[gone_bad.pk]), {"closing": "new-normal", "reason": "new app"}
    )
    assert done.status_code == 302
    gone_bad.refresh_from_db()
    assert [step.state for step in gone_bad.steps.all()] == ["open", "acknowledged", "closed"]


def test_the_rate_is_chosen_with_a_history() -> None:
    senior = factories.make_user(Role.SENIOR)
    client = Client()
    client.force_login(senior)
    client.post(reverse("triage:choose-rate"), {"per_week": "0.5"})
    client.post(reverse("triage:choose-rate"), {"per_week": "nan"})
    client.post(reverse("triage:choose-rate"), {"per_week": "-1"})
    assert [one.per_week for one in rates.history()] == [0.5]
    Stream.objects.bulk_create(
        Stream(
            customer=factories.make_customer(),
            version=version,
            detector=version.detector,
            kind="excess",
            first_day=START,
            last_day=timezone.now().date(),
            learning=28,
            a0=5,
            b0=15,
            phi=150,
        )
        for version in [factories.make_version()]
        for _ in range(4)
    )
    rate = rates.now()
    assert (rate.streams, rate.needed) == (4, 365.0)
    assert rate.bound == pytest.approx(7 * 4 / 365) and rate.expected == pytest.approx(rate.bound / 20)
