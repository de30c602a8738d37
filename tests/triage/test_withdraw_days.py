"""A correction that names a model no more takes back what was counted of it: sums, pairs, scores and periods."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import factories
from tests.field import START, Voice, cells, close, hour, live, make_day, make_incident, make_voice, quiet, window
from tests.triage.test_close_telemetry_days import written
from triage.models import PairDay, ScoreDay, Stream, StreamDay, TelemetryDay, TelemetryWindow
from triage.services.telemetry import days, intake

pytestmark = pytest.mark.django_db
NOON = (datetime.now(UTC) - timedelta(days=2)).replace(hour=12, minute=0)
DAY = (NOON - timedelta(hours=1)).date()


def lines(voice: Voice, *models: dict[str, Any], late: int = 0, pairs: Any = ()) -> list[bytes]:
    return [voice.say(window(*models, at=hour(NOON + timedelta(hours=late)), pairs=pairs))]


def by_network(told: list[bytes]) -> None:
    for line in told:
        intake.take_in(line)


def by_stick(told: list[bytes]) -> None:
    assert intake.import_lines(told).refused == 0


def pair_of(a: Any, b: Any, only_a: int) -> dict[str, Any]:
    return {"a": str(a), "b": str(b), "both": 8, "only_a": only_a, "only_b": 2, "neither": 900}


@pytest.mark.parametrize("bring", [by_network, by_stick])
def test_a_model_that_the_corrected_hour_does_not_name_was_not_counted_in_it(bring: Any) -> None:
    voice, version = make_voice(), factories.make_version()
    other = factories.make_version(detector=version.detector, number=2)
    told = [cells(one, 5, 3, 10) | {"scores": {"0": 1_000, "46": 18}} for one in (version, other)]
    for late in (0, 1):
        bring(lines(voice, *told, late=late, pairs=[pair_of(version, other, 7)]))
    days.close_due()
    bring(lines(voice, told[0], late=1))  # the second hour again, without the other
    days.close_due()
    kept = TelemetryDay.objects.get(version=other)
    assert (kept.model_only, kept.windows, TelemetryDay.objects.get(version=version).windows) == (5, 1, 2)
    assert PairDay.objects.get().only_a == 7
    assert ScoreDay.objects.get(version=other).counts == {"0": 1_000, "46": 18}
    bring(lines(voice, told[0], late=0))  # and the first: nothing of the day names it any more
    assert days.close_due() > 0
    assert not TelemetryDay.objects.filter(version=other).exists()
    assert not PairDay.objects.exists()
    assert not ScoreDay.objects.filter(version=other).exists()
    assert not Stream.objects.filter(version=other).exists()  # it has no period, so that it never began
    assert TelemetryDay.objects.get(version=version).model_only == 10
    assert ScoreDay.objects.get().sessions == 2 * 1_018
    assert StreamDay.objects.get(stream__version=version, stream__kind="excess").x == 10
    assert days.close_due() == 0
    bring(lines(voice, *told, late=0))  # it was there after all
    days.close_due()
    assert StreamDay.objects.get(stream__version=other, stream__kind="excess").x == 5


def test_another_site_of_the_customer_still_counts() -> None:
    voice, version = make_voice(), factories.make_version()
    other = factories.make_version(detector=version.detector, number=2)
    neighbour = make_voice(voice.appliance.site.customer, name="south")
    for one in (voice, neighbour):
        by_network(lines(one, cells(version, 5, 3, 10), cells(other, 5, 3, 10) | {"scores": {"0": 1_000}}))
    days.close_due()
    by_network(lines(voice, cells(version, 5, 3, 10)))
    days.close_due()
    kept = TelemetryDay.objects.get(version=other)
    assert (kept.model_only, kept.windows) == (5, 1)
    assert ScoreDay.objects.get(version=other).site == neighbour.appliance.site


def test_the_running_day_is_taken_back_at_once() -> None:
    voice, version = make_voice(), factories.make_version()
    other = factories.make_version(detector=version.detector, number=2)
    at = datetime.now(UTC)
    for told in ([version, other], [version]):
        by_network([voice.say(window(*(cells(one, 5, 3, 10) for one in told), at=hour(at)))])
        days.close_due()
    assert TelemetryDay.objects.get().version == version
    assert TelemetryWindow.objects.filter(replaced_at=None).count() == 1


def test_streams_are_stepped_anew_as_if_the_day_had_never_come() -> None:
    wrong, right = (factories.make_version() for _ in range(2))
    day = START + timedelta(days=29)
    for version in (wrong, right):
        for number in range(3):
            customer = factories.make_customer()
            last = live(customer, version, quiet(number, 31))
            if version == wrong and number == 0:
                mistaken = customer
    TelemetryDay.objects.filter(version=right, day=day).order_by("pk")[0].delete()
    close(last)
    make_day(mistaken, wrong, day, 0, 0, missed=0, windows=0)  # as sums leave it
    close(last)
    assert written(wrong) == written(right)  # the fleet's too
    assert not StreamDay.objects.filter(stream__customer=mistaken, day=day).exists()
    assert close(last) == 0


def test_the_last_days_taken_back_leave_a_stream_where_it_was_before_them() -> None:
    version, customer = factories.make_version(), factories.make_customer()
    last = live(customer, version, quiet(3, 30))
    make_day(customer, version, last, 10, 40, is_silent=True)
    close(last)
    stream = Stream.objects.get(kind="excess")
    assert stream.is_silent
    before = stream.days.get(day=last - timedelta(days=1))
    make_day(customer, version, last, 0, 0, missed=0, windows=0)
    close(last)
    stream.refresh_from_db()
    assert (stream.last_day, stream.is_silent, stream.first_day) == (before.day, False, START)
    assert stream.days.latest("day") == before


def test_a_day_that_no_customer_counted_is_none_of_the_fleet_either() -> None:
    version, customers = factories.make_version(), [factories.make_customer() for _ in range(3)]
    last = max(live(customer, version, quiet(number, 3)) for number, customer in enumerate(customers))
    close(last)
    fleet = Stream.objects.get(customer=None, kind="excess")
    assert fleet.last_day == last
    for customer in customers:
        make_day(customer, version, last, 0, 0, missed=0, windows=0)
    close(last)
    fleet.refresh_from_db()
    assert (fleet.last_day, fleet.days.count(), fleet.replay_from) == (last - timedelta(days=1), 2, None)


def test_a_stream_with_an_incident_stays_for_people_to_close() -> None:
    incident = make_incident()
    assert incident.customer is not None and incident.stream_id is not None
    make_day(incident.customer, incident.version, START, 0, 0, missed=0, windows=0)
    close(START)
    stream = Stream.objects.get(pk=incident.stream_id)
    assert stream.last_day is None and not TelemetryDay.objects.exists()
