"""`POST /api/v1/rule-verdicts/`: hits of other systems, once each, joined by the session's key, never labels."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import Token
from labeling.models import Label
from tests.factories import make_session_item, make_token
from traffic.models import OutsideHit

pytestmark = pytest.mark.django_db
URL = "/api/v1/rule-verdicts/"
PARTS = {"sensor": "core-1", "flow_id": 7, "tx_id": 0, "start": "2026-03-01T12:00:00.000001Z"}
RULE = {"rule_id": "942100", "rule_name": "SQL injection", "time": "2026-03-01T12:00:05+00:00"}
KEY = "core-1|7|0|1772366400000001"


@pytest.fixture
def send(client):
    _token, secret = make_token(Token.Kind.SYSTEM, "waf")

    def sent(*rows, secret=secret):
        headers = {"Authorization": f"Bearer {secret}"}
        return client.post(URL, list(rows), content_type="application/json", headers=headers)

    return sent


def test_a_verdict_is_kept_as_a_hit_of_that_system(send):
    told = send(PARTS | RULE)
    assert told.json() == {"accepted": 1, "known": 0, "rejected": 0, "results": [{"index": 0, "status": "accepted"}]}
    hit = OutsideHit.objects.get()
    assert (hit.system, hit.session_key, hit.rule_id, hit.rule_name) == ("waf", KEY, "942100", "SQL injection")
    assert hit.collected_at is None
    assert list(OutsideHit.objects.uncollected()) == [hit]


def test_the_parts_and_the_key_name_the_same_session(send):
    send(PARTS | RULE)
    assert send({"session": KEY} | RULE).json()["known"] == 1
    assert OutsideHit.objects.count() == 1


def test_telling_again_changes_nothing(send):
    send(PARTS | RULE)
    again = send(PARTS | RULE | {"rule_name": "another"}, PARTS | RULE, PARTS | RULE | {"rule_id": "2"}).json()
    assert [one["status"] for one in again["results"]] == ["known", "known", "accepted"]
    assert sorted(OutsideHit.objects.values_list("rule_name", flat=True)) == ["SQL injection", "SQL injection"]


def test_another_system_speaks_for_itself(send):
    send(PARTS | RULE)
    send(PARTS | RULE, secret=make_token(Token.Kind.SYSTEM, "proxy")[1])
    assert sorted(OutsideHit.objects.values_list("system", flat=True)) == ["proxy", "waf"]


def test_a_session_without_transaction_number(send):
    send(PARTS | RULE | {"tx_id": None})
    assert OutsideHit.objects.get().session_key == "core-1|7||1772366400000001"


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({}, "rule_id"),
        (RULE, ""),
        (PARTS | RULE | {"session": KEY}, ""),
        ({"sensor": "core-1"} | RULE, "flow_id"),
        ({"session": "core-1|7|0"} | RULE, "session"),
        ({"session": "core-1|7|x|1"} | RULE, "session"),
        ({"session": f"core-1|{1 << 64}|0|1"} | RULE, "session"),
        (PARTS | RULE | {"flow_id": -1}, "flow_id"),
        (PARTS | RULE | {"start": "1969-12-31T00:00:00Z"}, "start"),
        (PARTS | RULE | {"rule_id": "a\0"}, "rule_id"),
        (PARTS | RULE | {"time": "yesterday"}, "time"),
        ("no object", ""),
        (None, ""),
        ([1], ""),
    ],
)
def test_a_wrong_row_is_rejected_and_the_others_are_kept(send, row, field):
    answer = send(row, PARTS | RULE)
    assert answer.status_code == 200, answer.content
    told = answer.json()
    assert (told["accepted"], told["rejected"]) == (1, 1)
    assert field in told["results"][0]["errors"]


@pytest.mark.parametrize(
    "body", [{}, [], "x", [PARTS | RULE] * 1001, None], ids=["object", "empty", "text", "many", "null"]
)
def test_what_is_no_list_of_verdicts_is_a_problem(client, body):
    headers = {"Authorization": f"Bearer {make_token(Token.Kind.SYSTEM, 'waf')[1]}"}
    import json

    answer = client.post(URL, json.dumps(body), content_type="application/json", headers=headers)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_too_long_a_body_is_refused(client, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    headers = {"Authorization": f"Bearer {make_token(Token.Kind.SYSTEM, 'waf')[1]}"}
    answer = client.post(URL, [PARTS | RULE] * 9, content_type="application/json", headers=headers)
    assert answer.status_code == 413


def test_a_sensors_token_is_refused(send):
    assert send(PARTS | RULE, secret=make_token()[1]).status_code == 403


def test_the_items_page_shows_it_and_nobody_is_taken_for_having_answered(send, engineer_client):
    item = make_session_item(subject_key=KEY)
    send(PARTS | RULE | {"rule_name": "<b>SQL</b>"})
    page = engineer_client.get(reverse("labeling:explanation", args=[item.pk])).text
    assert "942100" in page and "waf" in page
    assert "&lt;b&gt;SQL&lt;/b&gt;" in page
    assert not Label.objects.exists()
