"""The offices of the demo have hosts at risk from its first minute, and only new days come with a later start."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import time_machine

from accounts.roles import Role
from config.demo import risk
from config.demo.experts import Colleague
from labeling.models import Item
from tests import factories
from triage.models import Organisation
from triage.services.risk import items

pytestmark = pytest.mark.django_db


def test_two_offices_have_days_at_risk_and_go_on_where_they_were(
    monkeypatch: pytest.MonkeyPatch, run_jobs: Callable[[], int]
) -> None:
    monkeypatch.setattr(risk, "DAYS", 20)
    with time_machine.travel("2026-03-20T12:00:00Z", tick=False):
        assert risk.tell_days() == 40
        run_jobs()
        items.open_waiting()
        assert Item.objects.filter(queue__slug="hosts-at-risk").exists()
        assert not Colleague(factories.make_user(Role.EXPERT)).answer_one()  # they are yours
    with time_machine.travel("2026-03-22T12:00:00Z", tick=False):
        risk.tell_days()
        run_jobs()
    for office in Organisation.objects.all():
        days = list(office.nights.order_by("day").values_list("day", flat=True))
        assert len(days) == len(set(days)) == 22
        assert (str(days[0]), str(days[-1])) == ("2026-02-28", "2026-03-21")
        assert not office.nights.filter(mode="silent").exists()
