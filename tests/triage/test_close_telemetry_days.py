"""Days of streams: in their order, once each, and the same whatever came late or was killed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from detection import divergence
from tests import factories
from tests.factories import SOME_TIME
from tests.field import START, close, live, make_day, quiet
from triage.models import (
    Incident,
    PrecisionFit,
    Stream,
    StreamDay,
    TelemetryDay,
)
from triage.services.telemetry import days as service

pytestmark = pytest.mark.django_db
FIELDS = [field.name for field in StreamDay._meta.concrete_fields if field.name not in ("id", "stream")]


def written(version: Any) -> list[tuple[Any, ...]]:
    """Return all periods of a version, as values that a replay must give again."""
    rows = StreamDay.objects.filter(stream__version=version)
    return list(rows.order_by("stream__customer", "stream__kind", "day").values_list("stream__kind", *FIELDS))


def test_a_stream_is_what_the_science_says_of_its_counts() -> None:
    version, customer = factories.make_version(), factories.make_customer()
    counts = [*quiet(1, 40), (45, 60), (50, 66)]
    last = live(customer, version, counts)
    close(last)
    stream = Stream.objects.get(kind="excess")
    rows = list(stream.days.all())
    assert [(row.x, row.n) for row in rows] == counts
    assert [row.is_learning for row in rows] == [True] * 28 + [False] * 14
    state = divergence.Streams.fresh(stream.a0, stream.b0, rows[28].phi)
    for number, ((x, n), row) in enumerate(zip(counts, rows, strict=True)):
        state = divergence.Streams.fresh(row.a0, row.b0, row.phi) if number == 0 else state
        state = replace(state, a0=np.array([row.a0]), b0=np.array([row.b0]), phi=np.array([row.phi]))
        state, looks = divergence.step(state, number, [x], [n], learning=number < 28, between_false_alarms=365)
        assert (row.mu, row.statistic) == (looks.mu[0], looks.statistic[0]), number
        assert (row.is_alarm, row.is_ticket) == (bool(looks.alarm[0]), bool(looks.ticket[0]))
    assert rows[-1].is_ticket and rows[-1].since == START + timedelta(days=40)
    prior = divergence.fit_prior([sum(x for x, _n in counts[:28])], [sum(n for _x, n in counts[:28])])
    assert (stream.a0, stream.b0) == prior
    incident = Incident.objects.get()
    assert (incident.stream, incident.is_up, incident.opened_day) == (stream, True, START + timedelta(days=40))


def world() -> tuple[Any, list[Any], date]:
    """Return a version with three customers; the counts are the same each time."""
    version, last = factories.make_version(), START
    customers = [factories.make_customer() for _ in range(3)]
    for number, customer in enumerate(customers):
        last = live(customer, version, quiet(number, 38))
    return version, customers, last


def fits(version: Any) -> list[Any]:
    rows = PrecisionFit.objects.filter(detector=version.detector).order_by("day", "kind")
    return list(rows.values_list("day", "kind", "phi", "own"))


def test_days_one_by_one_late_or_all_at_once_end_in_the_same_rows() -> None:
    version, customers, last = world()
    close(last)
    at_once = written(version)
    assert len(fits(version)) == 2 * 2 and len(at_once) == 3 * 38 * 2 + 38 * 2  # the fleet has streams too
    other, _customers, _last = world()
    TelemetryDay.objects.filter(version=other).update(stepped_at=SOME_TIME)
    for number in range(38):  # every morning hears of its day
        TelemetryDay.objects.filter(version=other, day=START + timedelta(days=number)).update(stepped_at=None)
        close(START + timedelta(days=number))
    assert written(other) == at_once
    assert fits(other) == fits(version)

    assert close(last) == 0  # a second run finds nothing
    make_day(customers[0], version, START + timedelta(days=34), 12, 50)  # a correction
    assert close(last) == 2 * 4 + 2 * 4
    corrected = written(version)
    changed = {row[FIELDS.index("day") + 1] for row in set(corrected) - set(at_once)}
    assert min(changed) == START + timedelta(days=34)
    x, n = quiet(0, 38)[34]
    make_day(customers[0], version, START + timedelta(days=34), x, n)
    close(last)
    assert written(version) == at_once  # with the prior, the precision and the A that were in force


def test_a_killed_run_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    version, customer = factories.make_version(), factories.make_customer()
    last = live(customer, version, quiet(3, 40))
    close(last)
    whole = written(version)
    TelemetryDay.objects.filter(day=START + timedelta(days=31)).update(stepped_at=None)
    keep = service.Run.keep

    def dies(run: Any, rows: Any, day: date) -> None:
        keep(run, rows, day)
        if day == START + timedelta(days=34):
            raise KeyboardInterrupt

    monkeypatch.setattr(service.Run, "keep", dies)
    with pytest.raises(KeyboardInterrupt):
        close(last)
    monkeypatch.undo()
    assert TelemetryDay.objects.filter(stepped_at=None).count() == 6  # of ten: four were done
    close(last)
    assert written(version) == whole


def test_a_missing_day_is_no_period_and_a_day_of_nothing_is_one() -> None:
    version, customer = factories.make_version(), factories.make_customer()
    live(customer, version, quiet(5, 20))
    make_day(customer, version, START + timedelta(days=25), 0, 0, missed=0)
    close(START + timedelta(days=30))
    stream = Stream.objects.get(kind="excess")
    newest = stream.days.order_by("-day")[0]
    assert (newest.learned, newest.n, stream.days.count()) == (21, 0, 21)
    assert newest.ref_n < stream.days.order_by("-day")[1].ref_n


def test_a_new_version_starts_from_what_the_old_one_showed() -> None:
    version, customer = factories.make_version(), factories.make_customer()
    last = live(customer, version, quiet(6, 35))
    close(last)
    old = StreamDay.objects.filter(stream__kind="excess").latest("day")
    mu = (old.a0 + old.ref_x) / (old.a0 + old.b0 + old.ref_n)
    newer = factories.make_version(detector=version.detector, number=version.number + 1)
    live(customer, newer, quiet(7, 12), last + timedelta(days=1))
    close(last + timedelta(days=12))
    stream = Stream.objects.get(version=newer, kind="excess")
    assert (stream.a0, stream.b0) == divergence.prior_of_version(mu)
    assert [row.is_tested for row in stream.days.all()] == [False] * 7 + [True] * 5


def test_the_running_day_and_the_morning_before_six_are_not_tested() -> None:
    version, customer = factories.make_version(), factories.make_customer()
    make_day(customer, version, START, 10, 40)
    moment = service.datetime(2026, 1, 6, 5, 59, tzinfo=service.UTC)
    assert service.close_due(moment) == 0
    assert service.close_due(moment + timedelta(minutes=1)) == 2


def test_several_customers_at_once_are_one_incident_of_the_fleet() -> None:
    version = factories.make_version()
    customers = [factories.make_customer() for _ in range(5)]
    for number, customer in enumerate(customers):
        bad = [(52, 64), (50, 64)] if number < 3 else quiet(50 + number, 2)
        last = live(customer, version, quiet(number + 10, 40) + bad)
    close(last)
    fleet = Incident.objects.get(customer=None)
    assert {one.customer for one in fleet.attached.all()} == set(customers[:3])
    assert (fleet.is_up, fleet.version) == (True, version)
    assert Incident.objects.count() == 4
