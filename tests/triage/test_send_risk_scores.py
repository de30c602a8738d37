"""Risk scores by the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import Token
from tests import factories
from triage.models import MissingDay, RiskScore
from triage.services.risk import organisations

pytestmark = pytest.mark.django_db


@pytest.fixture
def send(db: None) -> Any:
    organisations.make("Acme")
    _token, secret = factories.make_token(Token.Kind.RISK, "Acme")

    def post(body: Any) -> Any:
        return Client().post(
            reverse("api:risk-scores"), body, "application/json", headers={"Authorization": f"Bearer {secret}"}
        )

    return post


def score(**changes: Any) -> dict[str, Any]:
    return {"entity": "joe", "feature": "new city", "time": "2026-11-20T09:00:00Z", "score": 80} | changes


def test_the_largest_score_of_a_feature_and_day_stays(send: Any) -> None:
    answer = send({"scores": [score(), score(score=30), score(feature="amount sent", score=5, peers="sales")]})
    assert answer.status_code == 200
    assert answer.json() == {"taken": 2, "kept": 0, "late": 0, "too_late": 0, "missing": 0}
    assert send({"scores": [score()]}).json()["kept"] == 1
    assert send({"scores": [score(score=90, time="2026-11-20T23:00:00Z")]}).json()["taken"] == 1
    kept = RiskScore.objects.get(feature="new city")
    assert (kept.score, kept.at) == (90.0, datetime(2026, 11, 20, 23, tzinfo=UTC))
    assert kept.entity.peers == "sales" and kept.told_by == "Acme"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"score": -1}, "score"), ({"score": "NaN"}, "score"), ({"score": "Infinity"}, "score"),
        ({"entity": ""}, "entity"), ({"entity": "a\x00b"}, "entity"), ({"time": "yesterday"}, "time"),
        ({"feature": "x" * 101}, "feature"),
    ],
)  # fmt: skip
def test_a_wrong_row_refuses_the_batch_and_names_the_field(send: Any, changes: dict[str, Any], field: str) -> None:
    answer = send({"scores": [score(), score(**changes)]})
    assert answer.status_code == 400
    assert any(f"1.{field}" in error["field"] for error in answer.json()["errors"])
    assert not RiskScore.objects.exists()


def test_a_score_of_tomorrow_is_refused(send: Any) -> None:
    answer = send({"scores": [score(time=(timezone.now() + timedelta(days=1)).isoformat())]})
    assert answer.status_code == 400 and "lies in the future" in answer.content.decode()


def test_a_day_may_be_missing_for_some_or_for_all(send: Any) -> None:
    send({"scores": [score()]})
    answer = send({"missing": [{"day": "2026-11-19", "entities": ["joe", "nobody"]}, {"day": "2026-11-18"}]})
    assert answer.json()["missing"] == 2
    assert set(MissingDay.objects.values_list("day", "entity__name")) == {
        (datetime(2026, 11, 19).date(), "joe"), (datetime(2026, 11, 18).date(), None),
    }  # fmt: skip


def test_a_token_speaks_for_the_organisation_of_its_name(db: None) -> None:
    _token, secret = factories.make_token(Token.Kind.RISK, "nobody's")
    answer = Client().post(
        reverse("api:risk-scores"), {}, "application/json", headers={"Authorization": f"Bearer {secret}"}
    )
    assert answer.status_code == 403 and "There is no organisation" in answer.content.decode()
