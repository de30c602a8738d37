"""traffic:intakes: what was taken in, newest first."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from tests import factories
from tests.detection import eve
from traffic import views
from traffic.services import ingest

pytestmark = pytest.mark.django_db


def test_intakes_are_listed_with_counts_and_reasons(expert_client: Client, tmp_path: Path) -> None:
    log = tmp_path / "office<b>.json"
    log.write_bytes(eve.log([eve.http(), eve.alert(5), b"{torn"]))
    ingest.ingest_paths([log])
    content = expert_client.get(reverse("traffic:intakes")).content.decode()
    assert "office&lt;b&gt;.json" in content
    assert "1 × broken or torn JSON" in content
    assert "inferred from 1 rules seen" in content
    assert "1 without session" in content


def test_logs_that_no_rules_looked_at_say_so(expert_client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(eve.log([eve.http()]))
    ingest.ingest_paths([tmp_path / "a.json"])
    assert "not inspected" in expert_client.get(reverse("traffic:intakes")).content.decode()


def test_an_empty_list_tells_how_to_begin(expert_client: Client) -> None:
    assert "manage.py ingest" in expert_client.get(reverse("traffic:intakes")).content.decode()


def test_older_ones_are_paged_by_key(expert_client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "PAGE", 2)
    sensor = factories.make_sensor()
    made = [factories.make_intake(sensor=sensor, path=f"log-{number}") for number in range(5)]
    seen, url = [], reverse("traffic:intakes")
    before = ""
    while True:
        page = expert_client.get(url, {"before": before} if before else {})
        seen += [intake.pk for intake in page.context["intakes"]]
        before = page.context["older"]
        if not before:
            break
    assert seen == [intake.pk for intake in reversed(made)]


def test_support_stays_outside(support_client: Client, client: Client) -> None:
    assert support_client.get(reverse("traffic:intakes")).status_code == 403
    assert client.get(reverse("traffic:intakes")).status_code == 302
