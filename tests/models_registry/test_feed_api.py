"""The feed as appliances see it by network: with a token, their own channel and customer only."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from appliance.home import Home
from appliance.verbs import report_body
from detection.envelopes import seal
from models_registry.models import Appliance, ApplianceReport, EnrolmentCode
from models_registry.services import appliances, feed
from tests.factories import make_customer
from tests.feeds import Feed, make_feed, make_real_bundle, make_site

pytestmark = pytest.mark.django_db


@pytest.fixture
def delivery(settings: Any, tmp_path: Path) -> Feed:
    return make_feed(settings, tmp_path)


def enrol(client: Client, folder: Path, channel: str = "stable", **site: Any) -> tuple[Home, dict[str, Any]]:
    home = Home(folder)
    code = appliances.make_code(make_site(**site), channel)
    told = {"code": code, "public_key": home.public_key()}
    answer = client.post(reverse("api:enrol"), json.dumps(told), "application/json")
    assert answer.status_code == 201, answer.content
    return home, answer.json()


def get(client: Client, token: str, name: str, argument: str) -> Any:
    return client.get(reverse(name, args=[argument]), headers={"Authorization": f"Bearer {token}"})


def test_a_code_enrols_one_appliance_once(client: Client, delivery: Feed, tmp_path: Path) -> None:
    code = appliances.make_code(make_site(), "stable")
    told = json.dumps({"code": code, "public_key": Home(tmp_path).public_key()})
    assert client.post(reverse("api:enrol"), told, "application/json").status_code == 201
    assert client.post(reverse("api:enrol"), told, "application/json").status_code == 400
    assert Appliance.objects.get().site == EnrolmentCode.objects.get().site


def test_customers_never_see_each_other(client: Client, delivery: Feed, tmp_path: Path) -> None:
    one, other = make_customer(name="Synthetic shop"), make_customer(name="Synthetic clinic")
    _home, mine = enrol(client, tmp_path / "a", customer=one)
    _home, theirs = enrol(client, tmp_path / "b", customer=other)
    bundle = make_real_bundle()
    delivery.publish(bundle)
    release = delivery.publish(bundle, "customer", other).outcomes.get().release
    assert get(client, theirs["token"], "api:feed-metadata", f"2.{theirs['role']}").status_code == 200
    assert get(client, mine["token"], "api:feed-metadata", f"2.{theirs['role']}").status_code == 404
    target = f"{theirs['role']}/{release.digest}.http.onnx"
    assert get(client, theirs["token"], "api:feed-target", target).status_code == 200
    assert get(client, mine["token"], "api:feed-target", target).status_code == 404
    canary = f"canary/{release.digest}.http.onnx"
    assert get(client, mine["token"], "api:feed-target", canary).status_code == 404  # it listens to stable
    served = get(client, mine["token"], "api:feed-metadata", "timestamp")
    assert served.content.decode() == feed.newest_file("timestamp").body  # type: ignore[union-attr]


def test_a_retired_appliance_gets_nothing(client: Client, delivery: Feed, tmp_path: Path) -> None:
    _home, mine = enrol(client, tmp_path)
    delivery.publish(make_real_bundle())
    appliances.retire(Appliance.objects.get())
    assert get(client, mine["token"], "api:feed-metadata", "timestamp").status_code == 401


def test_a_report_is_signed_and_counts_up(client: Client, delivery: Feed, tmp_path: Path) -> None:
    home, mine = enrol(client, tmp_path, "canary")
    published = delivery.publish(make_real_bundle())
    digest = published.outcomes.get().release.digest
    home.write("config.json", mine | {"server": "", "product_version": "5.1"})
    home.write("in_force.json", {"http": [{"digest": digest, "bundle": "b", "since": "2026-03-01T12:00:00Z"}]})
    at = datetime.now(UTC).isoformat()
    [behind] = appliances.running()
    assert (behind.behind, behind.reports) == (1, [])

    def report(counter: int, **changes: Any) -> int:
        message = json.loads(seal("report", mine["appliance"], counter, at, report_body(home), home.key()))
        headers = {"Authorization": f"Bearer {mine['token']}"}
        body = json.dumps(message | changes)
        return client.post(reverse("api:report"), body, "application/json", headers=headers).status_code

    assert report(5) == 204
    assert report(5) == 400  # replayed
    assert report(4) == 400
    assert report(9, at="2020-01-01") == 400  # not what was signed
    assert ApplianceReport.objects.get().bundle == published.bundle
    [running] = appliances.running()
    assert (running.behind, running.reports[0].product_version) == (0, "5.1")
