"""What is deleted of telemetry by age: usual days, and nothing that anybody needs."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests import factories, field
from triage.models import PairDay, Stream, StreamDay, TelemetryDay
from triage.services.telemetry import age, fits

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 9, 1, 1, 20, tzinfo=UTC)
OLDEST = NOW.date() - age.PERIODS  # what is told of it stays


def days_of(stream: Stream) -> list[date]:
    return list(stream.days.order_by("day").values_list("day", flat=True))


def a_stream(until: date, **fields: Any) -> Stream:
    return field.make_stream(factories.make_customer(), factories.make_version(), until=until, **fields)


def test_usual_days_go_and_what_was_learnt_from_stays_while_the_stream_lives() -> None:
    stream = a_stream(OLDEST + timedelta(days=3))  # 28 days of learning and 12 others
    before = days_of(stream)
    assert age.discard_old(NOW) == 7  # of twelve, three are young, and one is the state before the oldest of these
    assert days_of(stream) == before[:28] + before[-5:]
    assert age.discard_old(NOW) == 0
    assert age.discard_old(NOW + timedelta(days=1)) == 1


def test_the_state_of_a_stream_that_ended_stays_and_what_it_learnt_from_goes() -> None:
    stream = a_stream(OLDEST - timedelta(days=2))
    age.discard_old(NOW)
    assert days_of(stream) == [OLDEST - timedelta(days=2)]


def test_unusual_days_stay() -> None:
    stream = a_stream(OLDEST + timedelta(days=1), changed=4)
    frozen = StreamDay.objects.filter(stream=stream, is_learning=False).order_by("day")[2]
    StreamDay.objects.filter(pk=frozen.pk).update(is_frozen=True)
    age.discard_old(NOW)
    kept = StreamDay.objects.filter(stream=stream, is_learning=False).order_by("day")
    assert [row.day for row in kept] == [frozen.day, *(OLDEST + timedelta(days=at) for at in (-2, -1, 0, 1))]


def test_sums_of_days_stay_longer_and_those_that_wait_always() -> None:
    version, customer = factories.make_version(), factories.make_customer()
    other = factories.make_version(detector=version.detector, number=2)
    old = NOW.date() - age.COUNTS - timedelta(days=1)
    for number in range(3):
        field.make_day(customer, version, old + timedelta(days=number), 5, 20, stepped_at=NOW)
        PairDay.objects.create(customer=customer, a=version, b=other, day=old + timedelta(days=number))
    field.make_day(customer, version, old - timedelta(days=1), 5, 20)
    assert age.discard_old(NOW) == 2
    left = TelemetryDay.objects.order_by("day").values_list("day", flat=True)
    assert list(left) == [old - timedelta(days=1), old + timedelta(days=1), old + timedelta(days=2)]
    assert PairDay.objects.count() == 2


def test_every_late_hour_still_finds_the_state_before_it_and_a_refit_its_periods() -> None:
    from triage.services.telemetry import intake, pages

    assert intake.LATE + timedelta(days=7) <= age.PERIODS
    assert timedelta(days=max(pages.LARGE_DAYS, 2 * fits.LATEST)) <= age.PERIODS
