"""Pages of hosts at risk, and an alert on the labelling page."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import numpy as np
import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from detection.adaptive import POLICY, raw_threshold
from detection.adaptive.simulation import score_of
from labeling.models import Item, Label
from triage.models import Entity, Organisation, RiskAlert, RiskNight
from triage.services.risk import comparisons, items, nights, organisations, pages, scores
from triage.services.risk.scores import Told

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(db: None) -> Organisation:
    call_command("simulate_risk", "Acme (synthetic)", people=40, days=17, habit="busy", budget=2.0)
    return Organisation.objects.get()


def test_the_page_of_an_organisation_says_what_was_wanted_and_what_came(acme: Organisation, senior_client: Any) -> None:
    text = senior_client.get(reverse("triage:organisation", args=[acme.slug])).content.decode()
    assert "Alerts wanted a day: <strong>2</strong>" in text and "over the last 3 days" in text
    assert f"{Entity.objects.count()} users and hosts" in text
    assert senior_client.get(reverse("triage:risk")).content.decode().count("Acme (synthetic)") == 1
    chart = pages.overview(acme).chart
    assert 0 < chart.listened < 720 and text.count('class="band"') == 1  # the first days could not alert
    assert chart.bars[0].x == 0 and 0 < chart.budget < 100 and "only listened" in text
    found = senior_client.get(reverse("triage:organisation", args=[acme.slug]), {"q": "gerr"}).content.decode()
    assert reverse("triage:entity", args=[Entity.objects.get(name="gerrard").pk]) in found


def test_the_page_of_an_entity_draws_its_past_the_curves_and_the_threshold(
    acme: Organisation, expert_client: Any
) -> None:
    gerrard = Entity.objects.get(name="gerrard")
    text = expert_client.get(reverse("triage:entity", args=[gerrard.pk])).content.decode()
    for part in ("curve--own", "curve--organisation", "curve--blend", 'class="threshold"', "Watched for 17 days"):
        assert part in text
    assert "Days above" in text and "Somebody without a past here has" in text


def test_a_name_from_the_wire_is_escaped(acme: Organisation, expert_client: Any) -> None:
    Entity.objects.filter(name="gerrard").update(name="<script>alert(1)</script>")
    page = expert_client.get(reverse("triage:entity", args=[Entity.objects.get(name__startswith="<").pk]))
    assert b"<script>alert" not in page.content


def test_a_budget_is_changed_by_a_form_that_names_what_is_wrong(acme: Organisation, senior_client: Any) -> None:
    url = reverse("triage:change-budget", args=[acme.slug])
    assert senior_client.post(url, {"budget": "0", "floor": "0"}).status_code == 422
    assert senior_client.post(url, {"budget": "7", "floor": "0.5"}).status_code == 302
    acme.refresh_from_db()
    assert (acme.budget, acme.floor) == (7.0, 0.5)


def test_an_organisation_is_made_on_the_page(administrator_client: Any) -> None:
    url = reverse("triage:make-organisation")
    assert administrator_client.post(url, {"name": "New", "time_zone": "Mars/Base"}).status_code == 422
    assert administrator_client.post(url, {"name": "New", "time_zone": "Europe/Berlin"}).status_code == 302
    assert Organisation.objects.get().weights.number == 1


def test_an_alert_is_answered_on_the_labelling_page(acme: Organisation, expert_client: Client) -> None:
    items.open_waiting()
    page = expert_client.get(reverse("labeling:work", args=["hosts-at-risk"])).content.decode()
    item = Item.objects.exclude(claimed_by=None).get()
    alert = RiskAlert.objects.get(item=item)
    assert alert.entity.name in page and "What was unusual" in page
    assert reverse("triage:entity-picture", args=[alert.entity_id]) in page
    assert "ordinary for all of its kind" in page and "look-alike application" not in page
    answer = {"answer": "negative:expected-of-peers"}
    assert expert_client.post(reverse("labeling:submit-label", args=[item.pk]), answer).status_code in (200, 302)
    assert Label.objects.get().reason_code == "expected-of-peers"
    item.refresh_from_db()
    assert (item.state, item.outcome) == ("settled", "negative")


SESSIONS_ALONE = (
    *("raw-record", "explanation", "place", "neighbours", "spread", "host"),
    *("item-similar", "item-alike", "item-near"),
)


def test_pages_of_sessions_do_not_exist_for_a_day(acme: Organisation, expert_client: Client) -> None:
    items.open_waiting()
    item = Item.objects.first()
    assert item is not None
    for name in SESSIONS_ALONE:
        assert expert_client.get(reverse(f"labeling:{name}", args=[item.pk])).status_code == 404, name
    assert expert_client.get(reverse("labeling:group", args=[item.pk])).status_code == 403
    assert expert_client.get(reverse("labeling:item", args=[item.pk])).status_code == 200


def test_a_history_is_not_simulated_over(acme: Organisation) -> None:
    with pytest.raises(CommandError, match="has a history"):
        call_command("simulate_risk", "Acme (synthetic)", days=3)


def test_a_storm_opens_the_highest_and_shows_the_rest_as_one_group(acme: Organisation, senior_client: Any) -> None:
    day = RiskNight.objects.latest("day").day + timedelta(days=1)
    organisations.change_budget(acme, 0.3, 0.0, None)
    acme.refresh_from_db()
    noon = datetime.combine(day, time(12), UTC)
    cap = 20 * RiskNight.objects.latest("day").cold
    value = min(0.8 * cap, 40.0)
    with time_machine.travel(noon + timedelta(days=1), tick=False):
        told = [Told(f"user-{n:04}", "amount sent", noon, score_of(value)) for n in range(1, 13)]
        scores.take_in(acme, told, "models")
        night = nights.close(acme.weights, day)
    page = senior_client.get(reverse("triage:organisation", args=[acme.slug])).text
    assert night.opened == 1 and night.alerts > 6
    assert f"{night.alerts - 1} alerts are over budget: stored as one group" in page
    items.open_waiting()
    assert not RiskAlert.objects.filter(opened=False).exclude(item=None).exists()


def test_the_share_of_the_noisiest_hundredth_is_told(acme: Organisation, senior_client: Any) -> None:
    night = RiskNight.objects.filter(fit__isnull=False).first()
    RiskAlert.objects.all().delete()
    for number, alerts in enumerate((6, 3, 1)):  # 40 entities: the noisiest hundredth is one
        entity = Entity.objects.get(row=number)
        RiskAlert.objects.bulk_create(
            RiskAlert(night=night, entity=entity, day=night.day - timedelta(days=index), value=2.0, threshold=1.0,
                      surprise=9.0, probability=1e-4, score=60.0, contributions=[], cold_start=False, opened=True)
            for index in range(alerts)
        )  # fmt: skip
    page = senior_client.get(reverse("triage:organisation", args=[acme.slug])).text
    assert "The noisiest 1 % raised 60 % of them." in page


def test_a_large_group_of_peers_is_judged_and_drawn_by_its_own_habit(acme: Organisation, expert_client: Any) -> None:
    gerrard = Entity.objects.get(name="gerrard")
    day = RiskNight.objects.latest("day").day + timedelta(days=1)
    scores.hear(acme, [day])
    night = nights.close(acme.weights, day, replace(POLICY, peers=5, peer_periods=50.0, budget=acme.budget))
    curve, cold, is_own = night.habit_of("sales")
    assert is_own and curve != night.curve and cold is not None
    assert night.habit_of("nobody") == (night.curve, night.cold, False)
    page = expert_client.get(reverse("triage:entity", args=[gerrard.pk])).text
    assert "the group is large enough for a habit of its own" in page
    told = f"{comparisons.of_entity(gerrard)[1].thresholds[1]:.2f}"
    assert told == f"{raw_threshold(np.array(curve), np.zeros(POLICY.bins), 0.0, 0.001):.2f}" and told in page
