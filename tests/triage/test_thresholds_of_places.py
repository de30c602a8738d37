"""Thresholds by site and sensor on the dial: from counts that sites send and from stored scores, into a bundle."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.urls import reverse

from accounts.models import AuditEntry
from detection.score_bins import score_bin
from models_registry.models import Version
from models_registry.services import dials
from tests import factories
from tests.field import cells, make_voice, window
from tests.triage.test_scores_of_detectors import at, scored
from triage.models import AlertBudget, ScoreDay
from triage.services.risk import places
from triage.services.telemetry import intake, sums
from triage.services.telemetry.intake import TelemetryRefused

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def today(house: None) -> Any:
    with time_machine.travel("2026-03-20T12:00:00Z", tick=False):
        yield


@pytest.fixture
def version(db: None) -> Version:
    return factories.make_version(threshold=0.9, stage="active")


def counted(version: Version, sessions: int, at_90: int, at_99: int) -> dict[str, Any]:
    told = {str(score_bin(0.9)): at_90, str(score_bin(0.99)): at_99, "0": sessions - at_90 - at_99}
    return cells(version, at_90 + at_99, 0, 0, neither=sessions - at_90 - at_99) | {"scores": told}


def two_sites(version: Version, customer: Any = None) -> None:
    for name, times in (("loud", 10), ("still", 1)):
        voice = make_voice(customer, name=name)
        for day in (17, 18, 19):
            for hour in (9, 10):
                told = window(counted(version, 500 * times, 10 * times, times), at=f"2026-03-{day}T{hour:02}:00Z")
                intake.take_in(voice.say(told))
    sums.sum_waiting()


def page_of(client: Any, version: Version, **asked: Any) -> str:
    found = client.get(reverse("triage:place-thresholds", args=[version.detector.name, version.number]), asked)
    assert found.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", found.text).split())


def test_two_sites_with_the_same_budget_get_thresholds_of_their_own(version: Version, engineer_client: Any) -> None:
    two_sites(version)
    assert ScoreDay.objects.count() == 6
    assert ScoreDay.objects.filter(site__name="still").first().counts == {"0": 978, "46": 20, "92": 2}
    told = places.of_version(version, 0.9, 5.0)
    loud, still = told.places
    assert (loud.site.name, round(loud.found.sessions), told.over) == ("loud", 10_000, 2)
    assert still.found.threshold < loud.found.threshold
    for one in told.places:
        assert 4.9 < one.found.expected <= 5.0 + 1e-9
    text = page_of(engineer_client, version)
    assert f"From {loud.found.threshold} on it raises 5.0 a day, counted on 3 days." in text
    assert "2 above their budget" in text
    assert (
        "place-thresholds" not in text
        and "places/"
        in engineer_client.get(reverse("labeling:dial", args=[version.detector.name, version.number])).text
    )


def test_a_site_has_a_budget_of_its_own(version: Version, engineer_client: Any) -> None:
    two_sites(version)
    site = ScoreDay.objects.filter(site__name="loud").first().site
    url = reverse("triage:change-site-budget", args=[version.detector.name, version.number, site.pk])
    before = places.of_version(version, 0.9).places[0].found.threshold
    assert engineer_client.post(url, {"per_day": "0"}).status_code == 422
    assert engineer_client.post(url, {"per_day": "20"}).status_code == 200
    assert AlertBudget.objects.get().per_day == 20 and AuditEntry.objects.filter(action="site.budget").exists()
    [after] = [one for one in places.of_version(version, 0.9).places if one.site == site]
    assert after.found.budget == 20 and after.found.threshold < before


def test_sensors_of_ours_are_counted_from_stored_scores(version: Version, engineer_client: Any) -> None:
    sensor = factories.make_sensor(name="office")
    for day in (17, 18):
        scored(
            version,
            sensor,
            *[(at(day), "10.0.0.5", "192.0.2.1", 0.01)] * 90,
            *[(at(day), "10.0.0.5", "192.0.2.1", 0.95)] * 10,
        )
    [found] = places.of_version(version, 0.9, 5.0).places
    assert (found.name, found.site, found.found.sessions, found.now) == ("office", None, 100, pytest.approx(10.0))
    assert "office our sensor" in page_of(engineer_client, version)


def test_what_two_people_agreed_on_leads_to_a_bundle_for_the_customer(version: Version, engineer_client: Any) -> None:
    two_sites(version)
    threshold = places.of_version(version, 0.9).places[0].found.threshold
    assert "Set the dial there" in page_of(engineer_client, version)
    factories.agree_on(version, threshold)
    assert threshold in dials.agreed(version)
    text = page_of(engineer_client, version)
    assert text.count("Build a bundle for") == 1
    asked = {"version": version.pk, "threshold": threshold}
    config = engineer_client.get(reverse("models_registry:build-bundle"), asked).text
    assert f"threshold: {threshold}" in config and version.detector.name in config


def test_sites_of_one_customer_share_the_strictest_threshold(version: Version, engineer_client: Any) -> None:
    two_sites(version, factories.make_customer(name="Shop"))
    two_sites(version)  # each of a customer of its own
    told = places.of_version(version, 0.9, 5.0)
    [shared] = told.shared
    loud, still = shared.sites
    assert (loud.site.name, shared.customer.name) == ("loud", "Shop")
    assert shared.threshold == loud.found.threshold > still.found.threshold
    for one, alerts, fewer, decides in shared.rows:
        assert alerts <= one.found.budget + 1e-9, "it keeps every budget"
        assert alerts + fewer == pytest.approx(one.found.expected)
        assert decides == (one.site.name == "loud") == (fewer == 0)
    text = page_of(engineer_client, version)
    assert f"From {shared.threshold} on every site keeps its budget" in text
    assert text.count("It shares a bundle") == 2
    row = f"still 5 {still.found.threshold} {still.found.expected:.1f} {shared.rows[1][1]:.1f} {shared.rows[1][2]:.1f}"
    assert row in text


def test_another_budget_lets_another_site_decide(version: Version) -> None:
    two_sites(version, customer := factories.make_customer())
    before = places.of_version(version, 0.9).shared[0].threshold
    places.change_budget(customer.sites.get(name="loud"), 5_000.0, factories.make_user("engineer"))
    [shared] = places.of_version(version, 0.9).shared
    assert [one.site.name for one, _alerts, _fewer, decides in shared.rows if decides] == ["still"]
    assert shared.threshold < before
    places.change_budget(customer.sites.get(name="still"), 5_000.0, factories.make_user("engineer"))
    assert places.of_version(version, 0.9).shared[0].is_lowest


def test_a_site_that_has_not_counted_is_named_and_a_retired_one_is_not(version: Version, engineer_client: Any) -> None:
    customer = factories.make_customer()
    two_sites(version, customer)
    make_voice(customer, name="new")
    retired = make_voice(customer, name="closed").appliance
    type(retired).objects.filter(pk=retired.pk).update(retired_at=datetime.now(UTC))
    [shared] = places.of_version(version, 0.9).shared
    assert [one.name for one in shared.unknown] == ["new"]
    assert "Counted too little to say: new." in page_of(engineer_client, version)


@pytest.mark.parametrize("role", ["engineer", "senior", "expert", "auditor", "administrator"])
def test_what_serves_all_sites_goes_into_a_bundle_by_one_click(version: Version, client: Any, role: str) -> None:
    two_sites(version, factories.make_customer(name="Shop"))
    [shared] = places.of_version(version, 0.9).shared
    client.force_login(factories.make_user(role))
    assert "Build a bundle" not in page_of(client, version)
    factories.agree_on(version, shared.threshold)
    page = client.get(reverse("triage:place-thresholds", args=[version.detector.name, version.number])).text
    assert ("Build a bundle for Shop" in page) == (role == "engineer")
    assert (">agreed on<" in page) == (role != "engineer")
    if role == "engineer":
        [link] = re.findall(r'href="([^"]*\?version=[^"]*)"', page)
        config = client.get(link.replace("&amp;", "&")).text
        assert f"threshold: {shared.threshold}" in config and version.detector.name in config


def test_sites_that_count_no_scores_are_taken_in_as_before(version: Version) -> None:
    voice = make_voice()
    intake.take_in(voice.say(window(cells(version, 5, 3, 10))))
    sums.sum_waiting()
    assert not ScoreDay.objects.exists()
    assert places.of_version(version, 0.9).places == []


@pytest.mark.parametrize("scores", [{"800": 1}, {"-1": 1}, {"01": 1}, {"1": -1}, {"1": 2_000}, [1]])
def test_counts_of_scores_that_cannot_be_are_refused(version: Version, scores: Any) -> None:
    body = json.loads(json.dumps(window(cells(version, 5, 3, 10) | {"scores": scores})))
    with pytest.raises(TelemetryRefused, match=r"bins|whole number|have scores"):
        intake.check(body, datetime.now(UTC))
