"""Confirmed unique detects as drafts: a Suricata rule that the program takes, a MISP event with stable identifiers."""

from __future__ import annotations

import shutil
from datetime import date

import pytest
from django.urls import reverse

from detection import drafts
from tests.factories import make_row, make_session_item, make_tls_row, make_unique_detect
from traffic.services import suricata

needs_suricata = pytest.mark.skipif(shutil.which("suricata") is None, reason="no Suricata on this machine")
NASTY = make_row(uri='/a";drop|7c|/x?q=\\"; content:"', host='h";.example', method="GE;T")


def test_a_rule_tells_what_look_alikes_share_and_nobody_who_spoke():
    rule = drafts.suricata_rule(make_row(), sid=9_000_001, title="http-attacks item 1")
    assert 'http.uri; content:"/cgi-bin/x.sh"; startswith;' in rule
    assert "10.1.4.22" not in rule
    assert "sid:9000001;" in rule


@needs_suricata
@pytest.mark.parametrize("row", [make_row(), make_tls_row(), NASTY], ids=["http", "tls", "hostile"])
def test_suricata_takes_the_draft(row):
    assert suricata.problem_with(drafts.suricata_rule(row, sid=9_000_001, title='"; sid:1;')) == ""


@needs_suricata
def test_what_suricata_refuses_is_said():
    assert suricata.problem_with("alert nonsense") != ""


def test_a_misp_event_is_the_same_twice_and_names_no_client():
    told = [drafts.misp_event(make_row(), title="x", detector="d", day=date(2026, 3, 1), sightings=3) for _ in range(2)]
    assert told[0] == told[1]
    event = told[0]["Event"]
    assert {one["type"] for one in event["Attribute"]} >= {"hostname", "url", "comment"}
    assert "10.1.4.22" not in str(event)
    assert event["published"] is False


@pytest.mark.django_db
def test_only_what_experts_confirmed_is_exported(engineer_client, monkeypatch):
    monkeypatch.setattr(suricata, "problem_with", lambda text: "")
    item = make_unique_detect(cell="unique")
    rule = engineer_client.get(reverse("triage:draft-rule", args=[item.pk]))
    assert rule.text.startswith("# checked by Suricata\nalert http")
    assert engineer_client.get(reverse("triage:draft-event", args=[item.pk])).json()["Event"]["date"] == "2026-03-01"
    other = make_session_item()
    assert engineer_client.get(reverse("triage:draft-rule", args=[other.pk])).status_code == 404
