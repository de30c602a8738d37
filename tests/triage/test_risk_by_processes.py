"""From scores that a behaviour model sends to an alert, an answer and another threshold: a web server, workers and a
browser without a mouse. The first worker's clock is a day late, so that the test has two nights."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.urls import reverse

from accounts.models import AuditEntry, Token
from accounts.roles import Role
from detection.adaptive import simulation
from detection.adaptive.simulation import QUIET, score_of
from labeling.models import Item
from tests import factories
from tests.jobs.workers import file_broker, kill, wait_for
from triage.models import Entity, Organisation, RiskAlert, RiskNight
from triage.services.risk.nights import AFTER

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
DAYS, PEOPLE = 18, 40
BENCH = "#workbench:focus"


def said(day: date, ordinal: int, *more: tuple[str, float]) -> dict[str, Any]:
    """Return what a model says of a day, as the API takes it."""
    noon = datetime.combine(day, time(12), UTC).isoformat()
    told = [(one.entity, one.department, one.feature, one.score) for one in simulation.day(QUIET, PEOPLE, ordinal)]
    # nobody's day is empty: a day on which no feed speaks is none
    told += [(name, "marketing", "amount sent", score_of(value)) for name, value in [("watched", 0.1), *more]]
    rows = [
        {"entity": who, "peers": of, "feature": what, "time": noon, "score": score} for who, of, what, score in told
    ]
    return {"scores": rows}


def send(url: str, secret: str, body: dict[str, Any]) -> dict[str, int]:
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    asked = Request(f"{url}/api/v1/risk-scores/", json.dumps(body).encode(), headers)
    with urlopen(asked, timeout=20) as answer:
        taken: dict[str, int] = json.loads(answer.read())
    return taken


def threshold_on(page: Any, entity: Entity) -> float:
    """Return the threshold that the page of an entity says."""
    page.goto(reverse("triage:entity", args=[entity.pk]))
    [told] = re.findall(r"Days above ([\d.]+) alert", page.locator("#portrait").text_content())
    return float(told)


def test_scores_become_an_alert_an_answer_and_another_threshold(
    page: Any, sign_in: Any, accessible: Any, live_server: Any, tmp_path: Path
) -> None:
    sign_in(factories.make_user(Role.ENGINEER))
    page.goto("/risk/")
    page.focus("#id_name")
    page.keyboard.type("Acme")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('Acme')")
    page.focus("#id_budget")
    page.keyboard.press("Control+A")
    page.keyboard.type("0.2")
    page.keyboard.press("Enter")
    page.wait_for_selector(".flash:has-text('The next night works with it')")
    _token, secret = factories.make_token(Token.Kind.RISK, "Acme")

    yesterday = (datetime.now(UTC) - AFTER).date() - timedelta(days=1)  # the newest day that may close
    first = yesterday - timedelta(days=DAYS)
    for ordinal in range(DAYS):
        unusual = [("joe", 40.0)] if ordinal == DAYS - 1 else []
        taken = send(live_server.url, secret, said(first + timedelta(days=ordinal), ordinal, *unusual))
        assert taken["late"] == taken["too_late"] == 0

    with file_broker(tmp_path / "broker") as broker:
        late = broker.start_worker(tmp_path / "late.log", behind=timedelta(days=1))
        broker.tick("triage.tasks.start_risk_days", "training")
        wait_for(lambda: RiskNight.objects.count() == DAYS, "the nights until the day before yesterday")
        broker.tick("triage.tasks.open_risk_items", "pipeline")
        wait_for(lambda: not RiskAlert.objects.without_item().exists(), "items of the alerts")
        kill(late)
        assert RiskNight.objects.order_by("-day")[0].day == yesterday - timedelta(days=1)

        expert = factories.make_user(Role.EXPERT)
        sign_in(expert)
        joe = Entity.objects.get(name="joe")
        before = threshold_on(page, joe)
        page.goto(reverse("triage:organisation", args=[Organisation.objects.get().slug]))
        accessible(page)
        page.focus("a:has-text('Queue of hosts at risk')")
        page.keyboard.press("Enter")
        page.wait_for_selector("h1")
        page.goto("/queues/hosts-at-risk/work/")
        page.wait_for_selector(BENCH)
        assert "joe" in page.locator("#workbench").text_content()
        accessible(page)
        item = Item.objects.get(title__startswith="joe")
        page.keyboard.press("o")  # ordinary
        page.keyboard.press("Enter")
        wait_for(lambda: Item.objects.get(pk=item.pk).state == "settled", "the answer")

        send(live_server.url, secret, said(yesterday, DAYS))
        broker.start_worker(tmp_path / "worker.log")
        broker.tick("triage.tasks.start_risk_days", "training")
        wait_for(lambda: RiskNight.objects.filter(day=yesterday).exists(), "the night of yesterday")

    after = threshold_on(page, joe)
    assert after > before
    entry = AuditEntry.objects.get(action="risk.ordinary")
    assert (entry.actor, entry.subject) == (expert, "joe")
    assert entry.details["threshold_after"] == pytest.approx(after, abs=0.01)
    assert RiskAlert.objects.get(entity=joe).effect == "ordinary"
    print(f"\n{RiskNight.objects.count()} nights; joe's threshold {before} → {after} by an answer")  # noqa: T201
