from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from tests import factories, field
from triage.models import Serving, StreamDay
from triage.services.telemetry import pages, pictures

pytestmark = pytest.mark.django_db
URL = reverse("triage:fleet")
DAY = field.START + timedelta(days=60)


@pytest.fixture
def version():
    made = factories.make_version()
    field.make_divergence_day(made, DAY)
    return made


def test_without_a_closed_day_it_says_what_would_fill_it(expert_client):
    page = expert_client.get(URL).text
    assert "api/v1/telemetry/" in page
    assert "No day is closed yet" in page


def test_what_changed_most_comes_first_and_links_to_its_stream(expert_client, version):
    calm, wild = (
        field.make_stream(factories.make_customer(), version, until=DAY, changed=changed) for changed in (0, 3)
    )
    page = expert_client.get(URL).text
    first, second = (reverse("triage:stream", args=[one.pk]) for one in (wild, calm))
    assert page.index(first) < page.index(second)
    assert page.count('class="dot--alarm"') == 3
    assert "30 of 60" in page
    assert page.count("<polygon") == 2


def test_a_reader_of_support_sees_the_customers_they_serve_and_the_fleet(client, version):
    mine, others = factories.make_customer(name="Mine"), factories.make_customer(name="Others")
    for customer in (mine, others, None):
        field.make_stream(customer, version, until=DAY)
    reader = factories.make_user(Role.SUPPORT, serves_all=False)
    Serving.objects.create(user=reader, customer=mine)
    client.force_login(reader)
    page = client.get(URL).text
    assert "Mine" in page
    assert "Others" not in page
    assert "the fleet as one" in page


def test_pages_go_on_by_key_and_show_every_stream_once(version, monkeypatch):
    monkeypatch.setattr(pages, "PAGE", 2)
    streams = {field.make_stream(factories.make_customer(), version, until=DAY, changed=n // 2).pk for n in range(5)}
    reader, seen, after = factories.make_user(Role.EXPERT), [], ""
    for _page in range(3):
        told = pages.fleet(reader, after=after)
        seen += [one.stream.pk for one in told.multiples]
        after = told.after
    assert (len(seen), set(seen), after) == (5, streams, "")


@pytest.mark.parametrize("key", ["x", "1", "nan,1", "1,-1", "inf,1", "1," + "9" * 30])
def test_a_key_that_is_none_begins_anew(expert_client, version, key):
    field.make_stream(factories.make_customer(), version, until=DAY)
    assert "30 of 60" in expert_client.get(URL, {"after": key}).text or "15 of 60" in expert_client.get(URL).text


def test_earlier_days_are_one_click_away(expert_client, version):
    stream = field.make_stream(factories.make_customer(), version, until=DAY, changed=2)
    field.make_divergence_day(version, DAY - timedelta(days=3))
    earlier = (DAY - timedelta(days=3)).isoformat()
    assert f"day={earlier}" in expert_client.get(URL).text
    page = expert_client.get(URL, {"day": earlier}).text
    assert "15 of 60" in page
    assert f"day={DAY.isoformat()}" in page
    assert reverse("triage:stream", args=[stream.pk]) in page
    assert expert_client.get(URL, {"day": "soon"}).status_code == 400


def test_one_detector_and_one_ratio_can_be_asked_for(expert_client, version):
    other = factories.make_version()
    field.make_divergence_day(other, DAY)
    customer = factories.make_customer()
    mine, _miss, _theirs = (
        field.make_stream(customer, version, until=DAY),
        field.make_stream(customer, version, until=DAY, kind="miss"),
        field.make_stream(customer, other, until=DAY),
    )
    told = pages.fleet(factories.make_user(Role.EXPERT), detector=version.detector.name, kind="excess")
    assert [one.stream.pk for one in told.multiples] == [mine.pk]
    assert (told.streams, told.tested) == (3, 2)  # as that detector's day was closed
    assert expert_client.get(URL, {"detector": "no-such", "kind": "no-such"}).status_code == 200


def test_the_running_day_warns_and_opens_nothing(expert_client, version):
    today = timezone.now().date()
    field.make_divergence_day(version, today - timedelta(days=1))
    stream = field.make_stream(factories.make_customer(), version, until=today - timedelta(days=1))
    field.make_day(stream.customer, version, today, 40, 60)
    page = expert_client.get(URL).text
    assert "today so far 40 of 60" in page
    field.make_day(stream.customer, version, today, 15, 60)
    assert "today so far" not in expert_client.get(URL).text
    assert not stream.incidents.exists()


def test_the_reference_is_drawn_from_the_day_on_that_it_stands_on_something(version):
    stream = field.make_stream(factories.make_customer(), version, until=DAY)
    days = list(stream.days.all())
    days[0].mu, days[0].ref_n, days[0].n, days[0].x = 0.9, 4, 4, 1
    drawn, before = pictures.small(days), pictures.small(days[1:])
    assert drawn.reference.count(",") == len(days) - 1
    assert drawn.band.count(",") == 2 * (len(days) - 1)
    assert drawn.shares[0].count(",") == len(days)
    tops = [min(float(point.split(",")[1]) for point in one.band.split()) for one in (drawn, before)]
    assert tops[0] == tops[1], "what is assumed of all streams does not press the picture down"


def test_silent_sites_are_counted(expert_client, version):
    appliance = field.make_voice().appliance
    type(appliance).objects.filter(pk=appliance.pk).update(enrolled_at=timezone.now() - timedelta(days=10))
    assert pages.fleet(factories.make_user(Role.EXPERT)).silent == 1


def test_an_open_incident_stands_on_its_stream(expert_client, version):
    incident = field.make_incident(version=version)
    StreamDay.objects.create(
        stream=incident.stream, day=DAY, learned=40, x=51, n=82, is_learning=False, is_tested=True, a0=5, b0=15,
        phi=150, mu=0.25, statistic=1e300, ref_x=10, ref_n=40, odds_ratio=4.5, is_alarm=True,
    )  # fmt: skip
    page = expert_client.get(URL).text
    assert incident.number in page
    assert reverse("triage:incident", args=[incident.pk]) in page


def test_a_page_asks_the_same_number_of_questions_however_many_streams(version, django_assert_max_num_queries):
    for _ in range(6):
        field.make_stream(factories.make_customer(), version, until=DAY, changed=1)
    reader = factories.make_user(Role.EXPERT)
    with django_assert_max_num_queries(20):
        pages.fleet(reader)
