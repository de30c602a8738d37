"""Pages of the ledger: entries by key, one entry, and what ran on a day and why."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.roles import Role
from models_registry.models import BundleEntry, LedgerEntry, StageChange, Version
from models_registry.services import in_force, rollbacks, stages
from models_registry.views import ledger as pages
from tests.factories import make_bundle, make_detector, make_ledger_entry, make_user, make_version
from tests.models_registry.staging import gated

pytestmark = pytest.mark.django_db
LEDGER, RAN = "/ledger/", "/ledger/ran/"


def test_entries_come_newest_first_and_by_key(auditor_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        make_ledger_entry()
    monkeypatch.setattr(pages, "PAGE", 3)
    first = auditor_client.get(LEDGER)
    assert [entry.number for entry in first.context["entries"]] == [5, 4, 3]
    assert "before=3" in first.text
    assert [entry.number for entry in auditor_client.get(f"{LEDGER}?before=3").context["entries"]] == [2, 1]


def test_the_filter_keeps_one_detector_and_one_kind(auditor_client: Client) -> None:
    entry, other = make_ledger_entry(), make_ledger_entry()
    page = auditor_client.get(f"{LEDGER}?detector={entry.detector.name}&kind=snapshot").text
    assert entry.subject in page and other.subject not in page
    assert "No entries here" in auditor_client.get(f"{LEDGER}?detector={entry.detector.name}&kind=gate").text


def test_an_entry_shows_what_it_says_and_leads_on(auditor_client: Client) -> None:
    entry = make_ledger_entry(subject="<script>alert(1)</script>")
    page = auditor_client.get(f"{LEDGER}{entry.number}/").text
    assert entry.digest in page and entry.previous in page
    assert "<script>alert(1)" not in page and "&lt;script&gt;" in page
    assert "was edited" not in page
    assert auditor_client.get(f"{LEDGER}999/").status_code == 404


def test_support_does_not_read_it(support_client: Client) -> None:
    assert support_client.get(LEDGER).status_code == 403


@pytest.fixture
def people() -> tuple[User, User]:
    return make_user(Role.ENGINEER, username="erik"), make_user(Role.SENIOR, username="sanna")


@pytest.fixture
def story(people: tuple[User, User]) -> datetime:
    """On 2 March :1 becomes active; on 3 March at noon a bundle is built; on 4 March :2 takes its place."""
    with time_machine.travel(datetime(2026, 3, 1, tzinfo=UTC), tick=False):
        detector = make_detector(name="http-attacks")
        one, two = make_version(detector=detector, threshold=0.71), make_version(detector=detector)
        for version in (one, two):
            StageChange.objects.create(version=version, new="silent", reason="first version")
        snapshot = gated(one).snapshot
        gated(two, snapshot=snapshot)
    engineer, senior = people
    with time_machine.travel(datetime(2026, 3, 2, 9, tzinfo=UTC), tick=False):
        stages.approve(stages.propose(one, "active", engineer, reason="beats the rules"), senior)
    with time_machine.travel(datetime(2026, 3, 3, 12, tzinfo=UTC), tick=False):
        entry = {"version": one, "threshold": 0.71, "gate_report": one.gate_reports.get()}
        BundleEntry.objects.create(bundle=make_bundle(), is_silent=False, **entry)
    with time_machine.travel(datetime(2026, 3, 4, 9, tzinfo=UTC), tick=False):
        stages.approve(stages.propose(two, "active", engineer), senior)
    return datetime(2026, 3, 3, 13, tzinfo=UTC)


def test_what_ran_on_3_march_and_why(auditor_client: Client, story: datetime) -> None:
    page = auditor_client.get(f"{RAN}?at=2026-03-03").text
    assert "http-attacks:1</a>" in page
    assert "0.71" in page
    assert "proposed by erik (ML engineer), approved by sanna (senior expert)" in page
    assert "beats the rules" in page
    assert "http-attacks:1 at 0.71 may leave" in page


def test_each_moment_has_its_own_answer(story: datetime) -> None:
    def active(day: int) -> str | None:
        [then] = in_force.what_ran(datetime(2026, 3, day, 12, tzinfo=UTC))
        return str(then.active.version) if then.active else None

    assert [active(day) for day in (1, 2, 3, 4)] == [None, "http-attacks:1", "http-attacks:1", "http-attacks:2"]
    [third] = in_force.what_ran(story)
    assert [(str(ran.version), ran.stage) for ran in third.ran] == [
        ("http-attacks:1", "active"),
        ("http-attacks:2", "silent"),
    ]
    assert third.ran[0].entry == LedgerEntry.objects.filter(kind="stage").order_by("number").first()
    assert in_force.what_ran(datetime(2026, 2, 1, tzinfo=UTC)) == []


def test_what_came_back_by_a_rollback_names_who_had_agreed_to_it(story: datetime, people: tuple[User, User]) -> None:
    [second] = Version.objects.filter(stage="active")
    with time_machine.travel(datetime(2026, 3, 5, 9, tzinfo=UTC), tick=False):
        rollbacks.roll_back(second, people[0], "it flags the whole intranet")
    [then] = in_force.what_ran(datetime(2026, 3, 5, 12, tzinfo=UTC))
    assert then.active is not None
    assert str(then.active.version) == "http-attacks:1"
    assert then.active.change.reason == "http-attacks:2 was rolled back"
    assert then.active.decision is not None
    assert (then.active.decision.proposal.by, then.active.decision.by) == people


@pytest.mark.parametrize("wrong", ["yesterday", "2026-13-01", "2026-03-03T25:00", "0001-01-01T00:00x"])
def test_what_is_no_moment_is_said(auditor_client: Client, wrong: str) -> None:
    answer = auditor_client.get(RAN, {"at": wrong})
    assert answer.status_code == 400
    assert "is no moment" in answer.text


def test_the_navigation_leads_there(auditor_client: Client) -> None:
    assert f'href="{reverse("models_registry:ledger")}"' in auditor_client.get("/").text
