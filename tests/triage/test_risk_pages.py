"""Pages of hosts at risk, and an alert on the labelling page."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from labeling.models import Item, Label
from triage.models import Entity, Organisation, RiskAlert
from triage.services.risk import items

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(db: None) -> Organisation:
    call_command("simulate_risk", "Acme (synthetic)", people=40, days=17, habit="busy", budget=2.0)
    return Organisation.objects.get()


def test_the_page_of_an_organisation_says_what_was_wanted_and_what_came(acme: Organisation, senior_client: Any) -> None:
    text = senior_client.get(reverse("triage:organisation", args=[acme.slug])).content.decode()
    assert "Wanted: <strong>2</strong> alerts a day" in text and "over the last 3 days" in text
    assert f"{Entity.objects.count()} users and hosts" in text
    assert senior_client.get(reverse("triage:risk")).content.decode().count("Acme (synthetic)") == 1
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
