"""Hours become days: each is added once, and what is told twice is summed anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext

from tests import factories
from tests.field import Voice, cells, hour, make_voice, window
from triage.models import PairDay, TelemetryDay, TelemetryWindow
from triage.services.telemetry import intake, sums

pytestmark = pytest.mark.django_db
NOON = (datetime.now(UTC) - timedelta(days=2)).replace(hour=12, minute=0)


def say(voice: Voice, *models: dict[str, Any], late: int = 0, pairs: Any = ()) -> None:
    intake.take_in(voice.say(window(*models, at=hour(NOON + timedelta(hours=late)), pairs=pairs)))


def day() -> tuple[int, int, bool]:
    found = TelemetryDay.objects.get()
    return found.model_only, found.windows, found.is_silent


def test_an_hour_is_added_to_the_day_that_was_summed_before() -> None:
    voice, version = make_voice(), factories.make_version()
    say(voice, cells(version, 5, 3, 10, is_silent=True))
    sums.sum_waiting()
    assert day() == (5, 1, True)
    say(voice, cells(version, 2, 3, 10), late=1)
    sums.sum_waiting()
    assert day() == (7, 2, False)
    say(voice, cells(version, 1, 3, 10, is_silent=True), late=2)
    sums.sum_waiting()
    assert day() == (8, 3, False)
    assert TelemetryDay.objects.get().stepped_at is None


def test_a_corrected_hour_counts_once_also_when_others_came_with_it() -> None:
    voice, version = make_voice(), factories.make_version()
    other = factories.make_version(detector=version.detector, number=2)
    pair = {"a": str(version), "b": str(other), "both": 8, "only_a": 7, "only_b": 2, "neither": 900}
    for late in (0, 1):
        say(voice, cells(version, 5, 3, 10), cells(other, 1, 1, 1), late=late, pairs=[pair])
    sums.sum_waiting()
    say(voice, cells(version, 9, 3, 10), cells(other, 1, 1, 1), late=1, pairs=[pair | {"only_a": 5}])
    say(voice, cells(version, 1, 3, 10), cells(other, 1, 1, 1), late=2, pairs=[pair])
    assert sums.sum_waiting() == 1
    found = TelemetryDay.objects.get(version=version)
    assert (found.model_only, found.heuristic_only, found.windows) == (15, 9, 3)
    assert (PairDay.objects.get().only_a, PairDay.objects.get().both) == (19, 24)
    say(voice, cells(version, 1, 3, 10), late=3)  # the day that was told twice goes on like any other
    sums.sum_waiting()
    assert TelemetryDay.objects.get(version=version).model_only == 16
    assert not TelemetryWindow.objects.filter(summed_at=None).exists()


def test_what_was_summed_is_not_read_again(django_assert_max_num_queries: Any) -> None:
    voice, version = make_voice(), factories.make_version()
    for late in range(5):
        say(voice, cells(version, 1, 1, 1), late=late)
    sums.sum_waiting()
    TelemetryWindow.objects.update(message=b"broken")  # whoever unpacks it fails
    say(voice, cells(version, 1, 1, 1), late=6)
    with django_assert_max_num_queries(12) as told:
        sums.sum_waiting()
    assert isinstance(told, CaptureQueriesContext)
    assert TelemetryDay.objects.get().model_only == 6
