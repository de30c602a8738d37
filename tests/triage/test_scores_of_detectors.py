"""What our own active detectors say of the hosts of sensors becomes risk scores: once, by the door of all others."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
import time_machine
from django.urls import reverse

from accounts.models import AuditEntry
from detection.tables import SCORE_OPTIONS, SCORE_SCHEMA
from models_registry.models import ScoreFile, Version
from models_registry.services import hunts
from models_registry.services.hunt_tables import opened
from tests import factories
from traffic import storage
from traffic.models import Sensor
from triage.models import HeardDay, Organisation, RiskAlert, RiskScore, TakenScores
from triage.models.risk import PRIVATE
from triage.services.risk import detectors, nights, organisations, pages, scores
from triage.services.risk.scores import Told

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
Row = tuple[datetime, str, str, float]  # start, source, destination, probability
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def today(house: None) -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def sensor(db: None) -> Sensor:
    return factories.make_sensor(name="office")


@pytest.fixture
def version(db: None) -> Version:
    return factories.make_version(detector=factories.make_detector(name="webattack"), stage="active")


@pytest.fixture
def acme(sensor: Sensor) -> Organisation:
    made = organisations.make("Acme", time_zone="Europe/Berlin", budget=0.2)
    organisations.watch(sensor, made, PRIVATE, None)
    return made


def scored(version: Version, sensor: Sensor, *rows: Row) -> ScoreFile:
    """Store sessions, and what a version said of them."""
    told = [
        factories.make_row(start=int(start.timestamp() * 1_000_000), src_ip=source, dst_ip=destination)
        for start, source, destination, _p in rows
    ]
    segment = factories.make_stored_segment(told, sensor=sensor)
    raw = [math.log(p / (1 - p)) for *_others, p in rows]
    columns = {"raw": raw, "verdict": [one > 0 for one in raw], "rules": [0] * len(raw), "cell": [0] * len(raw)}
    table = pa.table(
        {"rid": [segment.pk << 32 | row for row in range(len(raw))], **columns, "src_ip": pa.nulls(len(raw))}
    )
    file = factories.make_score_file(version=version, segment=segment, rows=len(raw))
    storage.put_table(file.path, table.cast(SCORE_SCHEMA), **SCORE_OPTIONS)
    return file


def at(day: int, hour: int = 10) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def kept() -> set[tuple[str, str, str, int, float]]:
    found = RiskScore.objects.select_related("entity")
    return {(one.entity.name, str(one.day), one.feature, one.version, round(one.score, 6)) for one in found}


def test_the_largest_score_of_each_host_and_day_is_taken_once(
    acme: Organisation, version: Version, sensor: Sensor
) -> None:
    scored(
        version,
        sensor,
        (at(17), "10.0.0.5", "192.0.2.1", 0.4),
        (at(17, 12), "10.0.0.5", "192.0.2.1", 0.9),
        (at(17, 23), "10.0.0.5", "192.0.2.1", 0.3),  # in Berlin the next day has begun
        (at(17), "198.51.100.7", "10.0.0.80", 0.8),  # asked from outside: the host is who was asked
        (at(17), "198.51.100.7", "192.0.2.1", 0.99),  # nobody of ours
        (at(17), "10.0.0.9", "192.0.2.1", 0.05),  # no sign
    )
    scored(version, factories.make_sensor(), (at(17), "10.0.0.6", "192.0.2.1", 0.9))  # of nobody's sensor
    silent = factories.make_version(detector=version.detector, stage="silent")
    scored(silent, sensor, (at(17), "10.0.0.7", "192.0.2.1", 0.9))

    assert (detectors.take_waiting(), detectors.take_waiting()) == (1, 0)
    expected = {
        ("10.0.0.5", "2026-03-17", "webattack", 1, 90.0),
        ("10.0.0.5", "2026-03-18", "webattack", 1, 30.0),
        ("10.0.0.80", "2026-03-17", "webattack", 1, 80.0),
    }
    assert kept() == expected
    assert set(RiskScore.objects.values_list("told_by", flat=True)) == {str(version)}
    heard = {str(day) for day in HeardDay.objects.values_list("day", flat=True)}
    assert heard >= {"2026-03-17", "2026-03-18"}

    TakenScores.objects.all().delete()  # as compaction does, which writes a day anew
    assert detectors.take_waiting() == 1
    assert kept() == expected


def test_the_page_of_a_host_leads_to_its_sessions_of_a_day(
    acme: Organisation, version: Version, sensor: Sensor, expert_client: Any
) -> None:
    scored(version, sensor, (at(17, 23), "10.0.0.5", "192.0.2.1", 0.9), (at(19), "10.0.0.5", "192.0.2.1", 0.01))
    detectors.take_waiting()
    [day] = pages.days_of(host := acme.entities.get())
    told = hunts.prepare(day.asked, now=NOW)
    with opened(told, limited=False) as asked:
        [(sessions,)] = asked.rows("SELECT count(*)")
    assert sessions == 1
    page = expert_client.get(reverse("triage:entity", args=[host.pk])).text
    assert "its sessions" in page


def test_what_died_between_is_taken_whole_by_the_next_run(
    acme: Organisation, version: Version, sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(version, sensor, (at(17), "10.0.0.5", "192.0.2.1", 0.9))

    def die(*_args: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(scores, "hear", die)
        with pytest.raises(MemoryError):
            detectors.take_waiting()
    assert not TakenScores.objects.exists() and not RiskScore.objects.exists()
    assert detectors.take_waiting() == 1
    assert len(kept()) == 1


def test_a_day_of_a_host_alerts_and_another_version_begins_another_history(
    acme: Organisation, version: Version, sensor: Sensor
) -> None:
    for day in range(1, 19):
        scored(version, sensor, (at(day), "10.0.0.5", "192.0.2.1", 0.12), (at(day), "10.0.0.6", "192.0.2.1", 0.11))
    scored(version, sensor, (at(19), "10.0.0.5", "192.0.2.1", 0.97), (at(19), "10.0.0.6", "192.0.2.1", 0.11))
    assert nights.start_due(NOW) == 0  # nothing is known yet
    detectors.take_waiting()
    for weights, day in nights.due(acme, NOW):
        night = nights.close(weights, day)
    assert (night.day, night.positive) == (date(2026, 3, 19), 2)
    alert = RiskAlert.objects.get(day=night.day)
    assert alert.entity.name == "10.0.0.5" and alert.contributions == [["webattack", pytest.approx(0.97)]]

    Version.objects.filter(pk=version.pk).update(stage="retired")
    newer = factories.make_version(detector=version.detector, stage="active")
    for day in range(4, 20):  # as a candidate it was scored over what is stored
        scored(newer, sensor, (at(day), "10.0.0.5", "192.0.2.1", 0.5))
    detectors.take_waiting()
    weights = acme.weights
    assert (weights.number, weights.versions) == (3, {"webattack": 2})
    learnt = [nights.close(one, day) for one, day in list(nights.due(acme, NOW + timedelta(hours=1)))]
    assert {one.weights for one in learnt} == {weights}
    assert (learnt[0].day, learnt[-1].day) == (date(2026, 3, 4), date(2026, 3, 19))
    assert {(one.positive, one.alerts) for one in learnt} == {(1, 0)}  # the versions are not mixed; old days were told
    assert nights.in_use(acme) == [weights]
    assert [one.value for one in pages.days_of(alert.entity)] == [pytest.approx(0.5)] * 16


def test_our_scores_stand_beside_those_of_behaviour_models(
    acme: Organisation, version: Version, sensor: Sensor
) -> None:
    scores.take_in(acme, [Told("10.0.0.5", "new city", at(18), 40.0)], "models")
    scored(version, sensor, (at(18), "10.0.0.5", "192.0.2.1", 0.9))
    detectors.take_waiting()
    night = nights.close(acme.weights, date(2026, 3, 18))
    assert night.positive == 1
    [day] = pages.days_of(acme.entities.get())
    assert day.value == pytest.approx(1.3)


def test_where_hosts_belong_is_chosen_on_the_page(engineer_client: Any, sensor: Sensor) -> None:
    made = organisations.make("Acme")
    url = reverse("triage:watch-sensor", args=[sensor.pk])
    wrong = engineer_client.post(url, {"organisation": made.pk, "networks": "10.0.0.0/99"})
    assert wrong.status_code == 422 and "Expected networks" in wrong.text
    assert engineer_client.post(url, {"organisation": made.pk, "networks": "10.0.0.0/8"}).status_code == 302
    assert made.sensors.get().networks == "10.0.0.0/8"
    assert "the hosts of office" in engineer_client.get(reverse("triage:organisation", args=[made.slug])).text
    assert engineer_client.post(url, {"organisation": "", "networks": "10.0.0.0/8"}).status_code == 302
    assert not made.sensors.exists()
    assert AuditEntry.objects.filter(action="sensor.watched").count() == 2


def test_weights_are_changed_on_the_page_and_begin_another_history(
    acme: Organisation, version: Version, sensor: Sensor, senior_client: Any
) -> None:
    scored(version, sensor, (at(18), "10.0.0.5", "192.0.2.1", 0.9))
    detectors.take_waiting()
    scores.take_in(acme, [Told("joe", "new city", at(18), 40.0)], "models")
    page = senior_client.get(reverse("triage:organisation", args=[acme.slug])).text
    assert "version 1 of our detector" in page and "weight of new city" in page
    url = reverse("triage:change-weights", args=[acme.slug])
    form = {"feature": ["new city", "webattack"], "weight": ["0,5", "2"], "group": ["place", ""]}
    assert senior_client.post(url, form).status_code == 302
    found = acme.weights
    assert (found.number, found.weights, found.groups) == (3, {"new city": 0.5, "webattack": 2}, {"new city": "place"})
    assert found.versions == {"webattack": 1}
    assert senior_client.post(url, form | {"weight": ["-1", "2"]}, follow=True).text.count("must be 0 or more") == 1
    assert (
        senior_client.post(url, form | {"weight": ["much", "2"]}, follow=True).text.count("A weight is a number") == 1
    )
    assert acme.weights == found
