from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from accounts.roles import Role
from tests import factories, field
from triage.models import Serving, Stream, StreamDay
from triage.services.telemetry import pages, pictures

pytestmark = pytest.mark.django_db
DAY = field.START + timedelta(days=60)


def page_of(client, stream, name="triage:stream"):
    return client.get(reverse(name, args=[stream.pk]))


def test_every_number_is_explained_in_a_sentence(expert_client):
    version = factories.make_version()
    field.make_divergence_day(version, DAY)
    stream = field.make_stream(factories.make_customer(), version, until=DAY, changed=3)
    page = page_of(expert_client, stream).text
    since = (DAY - timedelta(days=2)).isoformat()
    assert "the model or a rule flagged 60 sessions, 30 of them the model alone: 0.500" in page
    assert "0.250 is usual here" in page
    assert f"Most likely since {since}: 90 of 180 since then, odds ×3.00" in page
    assert "3,000.5 speaks against chance so far. An incident opens at 365" in page
    assert 'class="threshold"' in page


def test_a_stream_that_began_anew_says_why(expert_client):
    stream = field.make_stream(factories.make_customer(), factories.make_version(), until=DAY)
    stream.restarts.create(after=DAY, reference=True, reason="heuristics-changed")
    page = page_of(expert_client, stream).text
    assert "heuristics changed" in page
    assert "learns anew" in page


def test_a_quiet_stream_shows_no_change(expert_client):
    stream = field.make_stream(factories.make_customer(), factories.make_version(), until=DAY, kind="miss")
    page = page_of(expert_client, stream).text
    assert "rules flagged 60 sessions, and the model did not flag 15 of them" in page
    assert "None is to be seen." in page
    assert 'class="threshold"' not in page


def test_the_chart_alone_is_a_fragment(expert_client):
    stream = field.make_stream(factories.make_customer(), factories.make_version(), until=DAY)
    fragment = page_of(expert_client, stream, "triage:stream-chart").text
    assert "<html" not in fragment
    assert fragment.count("<section") == 1


def test_a_stream_that_was_never_closed_says_so(expert_client):
    version = factories.make_version()
    stream = Stream.objects.create(
        customer=factories.make_customer(), version=version, detector=version.detector, kind="excess", first_day=DAY,
        learning=28, a0=5, b0=5, phi=50,
    )  # fmt: skip
    assert "Its first day is not closed yet." in page_of(expert_client, stream).text


def test_customers_of_others_do_not_exist_for_support(client):
    version, reader = factories.make_version(), factories.make_user(Role.SUPPORT, serves_all=False)
    mine, others = (field.make_stream(factories.make_customer(), version, until=DAY) for _ in range(2))
    Serving.objects.create(user=reader, customer=mine.customer)
    client.force_login(reader)
    assert page_of(client, mine).status_code == 200
    assert page_of(client, others).status_code == 404
    assert page_of(client, others, "triage:stream-chart").status_code == 404


def test_what_the_statistics_wrote_can_be_drawn(expert_client):
    """Through the services: four weeks of learning, a week of quiet, three days of a flood."""
    customer, version = factories.make_customer(), factories.make_version()
    last = field.live(customer, version, [*field.quiet(3, 35), (45, 60), (47, 60), (44, 60)])
    field.close(last)
    stream = Stream.objects.get(customer=customer, version=version, kind="excess")
    told = pages.told(stream)
    assert told.newest.is_alarm
    assert told.since == last - timedelta(days=2)
    assert told.picture.since == told.picture.points[-3].x
    assert (told.picture.points[-4].is_alarm, told.picture.points[-1].is_alarm) == (False, True)
    assert {point.state for point in told.picture.points[:28]} == {"learning"}
    assert page_of(expert_client, stream).status_code == 200


def test_days_that_did_not_come_interrupt_the_line():
    stream = field.make_stream(factories.make_customer(), factories.make_version(), until=DAY)
    days = list(stream.days.all())
    assert len(pictures.of_stream(days, 365.0).shares) == 1
    assert len(pictures.of_stream([*days[:10], *days[12:]], 365.0).shares) == 2
    assert pictures.of_stream([], 365.0) is None
    assert pictures.small([]) is None


@pytest.mark.parametrize(("x", "n", "statistic"), [(0, 0, 0.0), (1, 1, 1e300), (0, 10**9, 5.0), (10**9, 10**9, 0.01)])
def test_extremes_stay_inside_the_picture(x, n, statistic):
    row = StreamDay(day=DAY, x=x, n=n, mu=0.25, phi=150.0, statistic=statistic, is_tested=True)
    picture = pictures.of_stream([row], 1e9)
    [point] = picture.points
    assert 0 <= point.high <= point.low <= pictures.HEIGHT
    assert point.y is None or 0 <= point.y <= pictures.HEIGHT
    assert pictures.LOW_TOP <= point.bar_y <= pictures.LOW_TOP + pictures.LOW_HEIGHT
    assert point.bar_height >= 0
    assert pictures.small([row]) is not None
