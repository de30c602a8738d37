"""Counts by the API: signed, each hour once, and never what cannot be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from models_registry.models import Appliance
from tests import factories
from tests.field import Voice, cells, hour, make_voice, window
from triage.models import PairDay, TelemetryDay, TelemetryWindow
from triage.services.telemetry import intake, sums

pytestmark = pytest.mark.django_db


@pytest.fixture
def voice(db: None) -> Voice:
    return make_voice()


def send(voice: Voice, message: bytes) -> Any:
    return Client().post(reverse("api:telemetry"), message, "application/json", headers=voice.headers)


def test_an_hour_is_kept_as_it_was_signed_and_summed(voice: Voice) -> None:
    version = factories.make_version()
    message = voice.say(window(cells(version, 5, 3, 10)))
    answer = send(voice, message)
    assert (answer.status_code, answer.json()["window"]) == (201, "new")
    [kept] = TelemetryWindow.objects.all()
    assert kept.told == json.loads(message)
    assert Appliance.objects.get().counter == 1
    assert sums.sum_waiting() == 1
    assert sums.sum_waiting() == 0
    [day] = TelemetryDay.objects.all()
    assert (day.model_only, day.heuristic_only, day.both, day.scanned, day.windows) == (5, 3, 10, 1018, 1)


def test_sending_again_changes_nothing_and_a_newer_message_corrects(voice: Voice) -> None:
    version = factories.make_version()
    first, second = voice.say(window(cells(version, 5, 3, 10))), voice.say(window(cells(version, 6, 3, 10)))
    assert send(voice, first).status_code == 201
    again = send(voice, first)
    assert (again.status_code, again.json()["window"]) == (200, "known")
    corrected = send(voice, second)
    assert (corrected.status_code, corrected.json()["window"]) == (200, "corrected")
    assert send(voice, first).json()["window"] == "known"
    sums.sum_waiting()
    assert TelemetryDay.objects.get().model_only == 6


def test_messages_may_come_in_any_order(voice: Voice) -> None:
    version = factories.make_version()
    old, new = voice.say(window(cells(version, 5, 3, 10))), voice.say(window(cells(version, 7, 3, 10)))
    assert send(voice, new).json()["window"] == "new"
    assert send(voice, old).json()["window"] == "known"  # what came late was said before
    sums.sum_waiting()
    assert TelemetryDay.objects.get().model_only == 7
    assert TelemetryWindow.objects.filter(replaced_at=None).count() == 1


def test_sites_of_a_customer_add_up_and_pairs_are_one_row_either_way(voice: Voice) -> None:
    version = factories.make_version()
    other = factories.make_version(detector=version.detector, number=2)
    at = hour()
    pair = {"a": str(version), "b": str(other), "both": 8, "only_a": 7, "only_b": 2, "neither": 900}
    turned = {"a": str(other), "b": str(version), "both": 1, "only_a": 4, "only_b": 3, "neither": 10}
    both = cells(version, 5, 3, 10), cells(other, 2, 5, 8, is_silent=True)
    neighbour = make_voice(voice.appliance.site.customer, name="south")
    assert send(voice, voice.say(window(*both, at=at, pairs=[pair]))).status_code == 201
    assert send(neighbour, neighbour.say(window(*both, at=at, pairs=[turned]))).status_code == 201
    sums.sum_waiting()
    loud = TelemetryDay.objects.get(version=version)
    silent = TelemetryDay.objects.get(version=other)
    assert (loud.model_only, loud.windows, loud.is_silent, silent.is_silent) == (10, 2, False, True)
    [day] = PairDay.objects.all()
    assert (day.a_id, day.both, day.only_a, day.only_b) == (version.pk, 9, 10, 6)


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"scanned": 5}, "body.models.0.scanned", "add up to"),
        ({"both": -1}, "body.models.0.both", "whole number"),
        ({"both": 1.5}, "body.models.0.both", "whole number"),
        ({"both": True}, "body.models.0.both", "whole number"),
        ({"model": "none:1"}, "body.models", "no version"),
        ({"model": "none"}, "body.models.0.model", "name:number"),
        ({"is_silent": 1}, "body.models.0.is_silent", "true or false"),
        ({"address": "10.0.0.1"}, "body.models.0", "no others"),
    ],
)
def test_counts_that_cannot_be_are_refused_by_name(
    voice: Voice, change: dict[str, Any], field: str, words: str
) -> None:
    answer = send(voice, voice.say(window(cells(factories.make_version(), 5, 3, 10) | change)))
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    [error] = answer.json()["errors"]
    assert error["field"] == field and words in error["detail"]
    assert not TelemetryWindow.objects.exists()


def test_hours_are_whole_past_and_not_too_old(voice: Voice) -> None:
    version = factories.make_version()
    now = datetime.now(UTC)
    wrong = (hour(now + timedelta(hours=4)), hour(now - timedelta(days=100)), "2026-03-01T12:30Z", "today")
    for at in wrong:
        answer = send(voice, voice.say(window(cells(version, 5, 3, 10), at=at)))
        assert answer.json()["errors"][0]["field"] == "body.hour", at


def test_pairs_are_bounded_by_what_both_scored(voice: Voice) -> None:
    version = factories.make_version()
    other = factories.make_version(detector=version.detector, number=2)
    pair = {"a": str(version), "b": str(other), "both": 900, "only_a": 7, "only_b": 2, "neither": 1_000}
    answer = send(voice, voice.say(window(cells(version, 5, 3, 10), cells(other, 1, 1, 1), pairs=[pair])))
    assert answer.json()["errors"][0]["field"] == "body.pairs.0"


def test_only_who_signed_may_send_and_nothing_large(voice: Voice) -> None:
    version = factories.make_version()
    stranger = make_voice()
    message = voice.say(window(cells(version, 5, 3, 10)))
    assert "token is not of" in send(stranger, message).json()["errors"][0]["detail"]
    assert (
        "signature" in send(voice, message.replace(b'"model_only":5', b'"model_only":6')).json()["errors"][0]["detail"]
    )
    assert send(voice, b" " * (intake.LARGEST_MESSAGE + 1)).status_code == 413
    forged = voice.say(window(cells(version, 9, 3, 10)), counter=1)
    assert send(voice, message).status_code == 201
    assert "with other counts" in send(voice, forged).json()["errors"][0]["detail"]


def test_a_stick_brings_what_the_network_would(voice: Voice) -> None:
    version = factories.make_version()
    now = datetime.now(UTC)
    lines = [voice.say(window(cells(version, 5, 3, 10), at=hour(now - timedelta(hours=n)))) for n in range(3)]
    assert send(voice, lines[1]).status_code == 201
    done = intake.import_lines([*lines, b"", b"{}", lines[0]])
    assert (done.new, done.known, done.refused) == (2, 2, 1)
    assert done.problems and done.problems[0].startswith("line 5: the message has the fields")
