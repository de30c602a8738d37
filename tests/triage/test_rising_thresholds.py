"""Thresholds that crept up within thirty days are listed, unless an answer allowed it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from triage.models import Organisation, RiskAlert, RiskNight
from triage.services.risk import organisations, pages, states

pytestmark = pytest.mark.django_db
NOW = date(2026, 3, 31)


def close(organisation: Organisation, day: date, thresholds: list[float]) -> RiskNight:
    path = f"risk/{organisation.slug}/{day}.thresholds"
    states.put_thresholds(path, thresholds)
    with time_machine.travel(day, tick=False):
        return RiskNight.objects.create(
            organisation=organisation, weights=organisation.weights, day=day, policy={}, budget=1.0, mode="tail",
            entities=len(thresholds), surprises=b"", days_heard=90, state_digest="", thresholds_path=path,
            seconds=0.0, at=timezone.now(),
        )  # fmt: skip


@pytest.fixture
def organisation(db: None) -> Organisation:
    """Four hosts: steady, creeping, creeping faster, and creeping with somebody's leave; a fifth is new."""
    made = organisations.make("Acme")
    names = ["a-steady", "b-creeping", "c-faster", "d-allowed", "e-new"]
    known = organisations.entities_of(made, names, NOW - timedelta(days=60))
    close(made, NOW - timedelta(days=31), [1.0, 1.0, 1.0, 1.0])
    close(made, NOW - timedelta(days=30), [1.0, 1.0, 0.5, 1.0])
    night = close(made, NOW, [1.5, 1.7, 1.7, 1.8, 9.0])
    RiskAlert.objects.create(
        night=night, entity=known["d-allowed"], day=NOW, value=2.0, threshold=1.0, surprise=9.0, probability=0.001,
        score=60.0, contributions=[], cold_start=False, opened=True, effect="ordinary", applied_at=timezone.now(),
    )  # fmt: skip
    return made


def test_the_steepest_come_first_and_an_answer_that_allowed_it_takes_one_off(organisation: Organisation) -> None:
    found = pages.rising(list(organisation.nights.order_by("-day")))
    assert [(one.entity.name, one.before) for one in found] == [("c-faster", 0.5), ("b-creeping", 1.0)]
    assert [one.ratio for one in found] == pytest.approx([3.4, 1.7], rel=1e-6)


def test_the_page_lists_them_and_says_so_when_there_are_none(organisation: Organisation, expert_client: Any) -> None:
    address = reverse("triage:organisation", args=[organisation.slug])
    page = expert_client.get(address).text
    listed = page[page.index("<h2>Thresholds rising") : page.index("<h2>Alerts of the newest day")]
    assert listed.index("c-faster") < listed.index("b-creeping")
    assert "d-allowed" not in listed and "a-steady" not in listed
    organisation.nights.filter(day__lt=NOW).delete()
    assert "None grew by more than 1.6 in 30 days" in expert_client.get(address).text
