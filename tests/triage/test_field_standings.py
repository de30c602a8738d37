"""Silent versions beside the active one, as customers counted them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from models_registry.models import Version
from tests import factories
from tests.field import make_day, make_incident
from triage.models import PairDay
from triage.services.telemetry import field

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair(db: None) -> tuple[Version, Version]:
    active = factories.make_version(stage="active")
    return active, factories.make_version(detector=active.detector, number=2, stage="silent")


def count(pair: tuple[Version, Version], only_active: int, only_silent: int, missed: tuple[int, int] = (9, 9)) -> Any:
    customer = factories.make_customer()
    day: date = timezone.now().date() - timedelta(days=1)
    for version, misses in zip(pair, missed, strict=True):
        make_day(customer, version, day, 30, 200, misses, is_silent=version.stage == "silent")
    told = {"both": 80, "only_a": only_active, "only_b": only_silent, "neither": 9_000}
    return PairDay.objects.create(customer=customer, a=pair[0], b=pair[1], day=day, **told)


@pytest.mark.parametrize(
    ("only_active", "only_silent", "missed", "advice"),
    [
        (2, 3, (9, 9), "equal"),
        (10, 60, (9, 9), "more"),
        (60, 10, (9, 9), "fewer"),
        (60, 10, (9, 60), "blind"),
    ],
)
def test_what_the_counts_advise(
    pair: tuple[Version, Version], only_active: int, only_silent: int, missed: tuple[int, int], advice: str
) -> None:
    count(pair, only_active, only_silent, missed)
    [one] = field.standings(pair[0].detector)
    assert (one.silent, one.active, one.customers) == (pair[1], pair[0], 1)
    assert (one.only_silent, one.only_active, one.advice) == (only_silent, only_active, advice)


def test_an_open_incident_of_the_silent_version_speaks_first(pair: tuple[Version, Version]) -> None:
    count(pair, 10, 60)
    make_incident(version=pair[1])
    assert field.standings(pair[0].detector)[0].advice == "incident"


def test_customers_add_up_and_old_days_do_not_count(pair: tuple[Version, Version]) -> None:
    count(pair, 10, 20)
    old = count(pair, 10, 20)
    PairDay.objects.filter(pk=old.pk).update(day=timezone.now().date() - timedelta(days=40))
    count(pair, 1, 2)
    [one] = field.standings(pair[0].detector)
    assert (one.customers, one.only_active, one.only_silent, one.both) == (2, 11, 22, 160)


def test_the_scoreboard_shows_it(pair: tuple[Version, Version]) -> None:
    client = Client()
    client.force_login(factories.make_user(Role.ENGINEER))
    address = reverse("triage:field-standings", args=[pair[0].detector.name])
    assert "have not counted" in client.get(address).content.decode()
    count(pair, 10, 60)
    assert "It surely flags more" in client.get(address).content.decode()
    assert address in client.get(reverse("labeling:scoreboard", args=[pair[0].detector.name])).content.decode()
