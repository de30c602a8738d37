"""The health page: each stream with its lag, red where somebody should look."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from traffic.models import Stream
from traffic.services import rule_sets
from traffic.services.streams import readings

pytestmark = pytest.mark.django_db


def make_stream(name: str = "list suricata", **fields: Any) -> Stream:
    sensor = rule_sets.sensor_named("core-1")
    return Stream.objects.create(**{"name": name, "sensor": sensor, "unit": "lines"} | fields)


def problem(**fields: Any) -> str:
    return str(readings.read(make_stream(**fields), timezone.now()).problem)


def test_tells_lag_spool_and_last_activity_of_each_stream(administrator_client):
    now = timezone.now()
    make_stream(lag=12_345, spool_bytes=3 << 20, line_at=now, caught_up_at=now - timedelta(seconds=90))
    text = administrator_client.get(reverse("triage:health-page")).content.decode()
    for told in ("list suricata", "core-1", "12,345 lines", "3.0\xa0MB", now.strftime("%Y-%m-%d"), "reading"):
        assert told in text, told
    seconds = re.search(r"(\d+) s</td>", text)
    assert seconds is not None
    assert 90 <= int(seconds[1]) < 120


def test_the_fragment_is_the_same(administrator_client):
    make_stream()
    page = administrator_client.get(reverse("triage:health-page")).content.decode()
    fragment = administrator_client.get(reverse("triage:health-live")).content.decode()
    assert fragment.strip() in page


def test_says_how_to_begin_where_there_is_no_stream(engineer_client):
    assert b"manage.py consume" in engineer_client.get(reverse("triage:health-page")).content


def test_red_is_whoever_is_not_heard_of_held_or_falls_behind():
    long_ago = timezone.now() - timedelta(minutes=6)
    assert problem(name="fine") == ""
    assert problem(name="a minute late", lag=5, caught_up_at=timezone.now() - timedelta(minutes=1)) == ""
    assert problem(name="behind", lag=5, caught_up_at=long_ago) == "falls behind"
    assert problem(name="nothing waits", lag=0, caught_up_at=long_ago) == ""
    assert problem(name="dead", seen_at=long_ago) == "not heard of"
    assert problem(name="held", state="held", reason="the spool is full") == "reads nothing"
    assert problem(name="away", reason="cannot store: OperationalError") == "stores nothing"
    assert problem(name="second", state="waiting", reason="first", lag=9, caught_up_at=long_ago) == ""
    assert problem(name="stopped", state="stopped", seen_at=long_ago) == ""


def test_strangers_hear_that_a_stream_is_in_trouble_and_not_which(client):
    make_stream(name="secret sensor", state="held", reason="at 10.0.0.1")
    answer = client.get(reverse("triage:health"))
    assert (answer.status_code, answer.json()["streams"], answer.json()["healthy"]) == (200, "in trouble", True)
    assert b"secret" not in answer.content
    assert b"10.0.0.1" not in answer.content


def test_what_a_source_said_is_escaped(administrator_client):
    make_stream(name="<script>alert(1)</script>", state="held", reason="<img src=x>")
    content = administrator_client.get(reverse("triage:health-page")).content
    assert b"<script>alert" not in content
    assert b"<img" not in content
