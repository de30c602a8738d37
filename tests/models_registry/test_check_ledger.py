"""Every night the ledger is read through; what is broken is shown to whoever may read it, and told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from models_registry.models import LedgerCheck, LedgerKind, Version
from models_registry.services import ledger, ledger_watch
from models_registry.tasks import check_ledger
from tests.factories import make_subscription, make_user, make_version
from triage.models import Announcement, Delivery
from triage.services import announcements

pytestmark = pytest.mark.django_db


def make_check(differences: int = 0, **fields: object) -> LedgerCheck:
    findings = [f"models_registry.version:{number}: is gone" for number in range(min(differences, 3))]
    figures = {"entries": 9, "rows": 7, "files": 4, "head": "ab" * 32, "findings": findings}
    return LedgerCheck.objects.create(**figures | {"differences": differences} | fields)


def test_a_night_keeps_what_it_found() -> None:
    assert check_ledger() == 0
    version = make_version()
    ledger.record(LedgerKind.VERSION, version, detector=version.detector)
    Version.objects.filter(pk=version.pk).update(stage="retired")
    Version.objects.filter(pk=version.pk).update(threshold=0.01)
    assert check_ledger() > 0
    broken, whole = LedgerCheck.objects.all()
    assert (whole.differences, whole.findings) == (0, [])
    assert broken.differences == len(broken.findings)
    assert any("threshold is 0.01" in finding for finding in broken.findings)
    assert ledger_watch.newest() == broken


def test_a_broken_one_stands_on_home_health_and_ledger_until_a_night_finds_it_whole(
    engineer_client: Client, support_client: Client
) -> None:
    make_version()  # home has something to show
    pages = [reverse(name) for name in ("triage:health-page", "models_registry:ledger")]
    make_check(1_234)
    for page in pages:
        assert "broken: 1,234 differences" in engineer_client.get(page).text
        assert "models_registry.version:0: is gone" in engineer_client.get(page).text
    assert engineer_client.get(reverse("triage:health")).json()["ledger"] == "broken"
    make_check()
    for page in pages:
        assert "broken" not in engineer_client.get(page).text
        assert "9 entries, 7 rows, 4 files" in engineer_client.get(page).text
    assert engineer_client.get(reverse("triage:health")).json()["ledger"] == "whole"


def test_home_says_it_to_whoever_may_read_the_ledger(engineer_client: Client, support_client: Client) -> None:
    make_check(1)
    told = "The ledger is broken: 1 difference"
    assert told in engineer_client.get(reverse("triage:home-state")).text
    assert told not in support_client.get(reverse("triage:home-state")).text


def test_a_clock_that_stands_still_is_noticed(engineer_client: Client) -> None:
    make_check(at=timezone.now() - timedelta(days=3))
    assert "no reading since" in engineer_client.get(reverse("triage:health-page")).text
    assert engineer_client.get(reverse("triage:health")).json()["ledger"] == "late"


def test_a_broken_one_is_told_once_a_night(settings: Any) -> None:
    settings.EMAIL_HOST = "mail.example"
    make_user(Role.AUDITOR, email="auditor@vendor.example")
    make_user(Role.EXPERT, email="expert@vendor.example")
    make_subscription(topics=["ledger."])
    make_check()
    assert announcements.collect() == 0
    make_check(2)
    assert (announcements.collect(), announcements.collect()) == (1, 0)
    announced = Announcement.objects.get()
    assert (announced.topic, announced.subject) == ("ledger.broken", "the ledger is broken: 2 differences")
    assert "is gone" not in str(announced.payload)  # what it found stays in the house
    assert Delivery.objects.exclude(address="").get().address == "auditor@vendor.example"
    assert Delivery.objects.filter(address="").count() == 1
