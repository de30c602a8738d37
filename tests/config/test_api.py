"""The API as a whole: what its documents promise is what happens, and every error is a problem detail."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS

from accounts.models import Token
from accounts.roles import Role
from accounts.services import tokens
from config.api import document
from config.wsgi import application
from models_registry.models import Detector
from tests.factories import make_detector, make_token, make_user

FORMATS = Path(__file__).resolve().parents[2] / "docs" / "formats"
pytestmark = pytest.mark.django_db


def examples(page):
    return re.findall(r"```(\w+)\n(.*?)```", (FORMATS / page).read_text(encoding="utf-8"), re.S)


def bearer(secret):
    return Client(headers={"Authorization": f"Bearer {secret}"})


def test_the_example_of_traffic_is_taken_in():
    [body, answer] = [text for language, text in examples("api-traffic.md") if language in ("ndjson", "json")][:2]
    told = bearer(make_token()[1]).post("/api/v1/traffic/", body, content_type="application/x-ndjson")
    assert told.status_code == 201, told.content
    expected = json.loads(answer)
    assert told.json().keys() == expected.keys()
    for name in ("duplicate", "sessions", "http", "tls", "rule_hits", "rejected"):
        assert told.json()[name] == expected[name], name


def test_the_example_of_a_problem_is_one():
    expected = json.loads(examples("api-traffic.md")[-1][1])
    told = bearer(make_token(Token.Kind.SYSTEM)[1]).post("/api/v1/traffic/", "{}", content_type="text/plain")
    assert told.json() == expected


def test_the_example_of_rule_verdicts_is_answered_as_shown():
    [body, answer] = [json.loads(text) for _language, text in examples("api-rule-verdicts.md")]
    secret = make_token(Token.Kind.SYSTEM, "waf")[1]
    told = bearer(secret).post("/api/v1/rule-verdicts/", body, content_type="application/json")
    assert told.json() == answer


def test_the_examples_of_detectors_make_and_change_one():
    [new, change] = [json.loads(text) for _language, text in examples("api-detectors.md")]
    client = bearer(tokens.make_own_token(make_user(Role.ENGINEER), "script")[1])
    assert client.post("/api/v1/detectors/", new, content_type="application/json").status_code == 201
    made = Detector.objects.get()
    assert (made.retrain_weekday, made.false_positive_cost) == ("sunday", 50)
    url = f"/api/v1/detectors/{made.name}/proposals/"
    assert client.post(url, change, content_type="application/json").status_code == 201


@pytest.mark.parametrize("path", ["/api/", "/api/v1/nothing/", "/api/v2/traffic/", "/api/v1/detectors/none/"])
def test_what_is_not_there_is_a_problem(auditor_client, path):
    answer = auditor_client.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["status"] == 404


def test_a_broken_body_is_a_problem():
    secret = make_token(Token.Kind.SYSTEM)[1]
    for body, kind, status in (
        ("{", "application/json", 400),
        ("[]", "text/csv", 415),
        ("[NaN]", "application/json", 400),
    ):
        answer = bearer(secret).post("/api/v1/rule-verdicts/", body, content_type=kind)
        assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json"), body


def test_an_answer_in_another_form_is_refused():
    answer = Client().get("/api/v1/schema/", headers={"Accept": "text/csv"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (406, "application/problem+json")


def test_the_page_of_the_api_names_every_address(page, accessible):
    page.goto("/api/v1/docs/")
    for path in document()["paths"]:
        assert page.locator(f"code:has-text('{path}')").count(), path
    accessible(page)


@pytest.fixture
def one_connection():
    """Keep the test's transaction open over requests, as Django's own test client does."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def schema():
    return schemathesis.openapi.from_wsgi("/api/v1/schema/", application)


# every operation with what its description allows, and with what it does not
OPERATIONS = (
    "send_traffic",
    "send_rule_verdicts",
    "list_detectors",
    "read_detector",
    "make_detector",
    "propose_change",
)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_openapi_document_is_true(name, one_connection):
    make_detector(name="known")
    secrets = {
        "send_traffic": lambda: make_token()[1],
        "send_rule_verdicts": lambda: make_token(Token.Kind.SYSTEM)[1],
    }
    secret = secrets.get(name, lambda: tokens.make_own_token(make_user(Role.ENGINEER), "script")[1])()
    operation = schema().find_operation_by_id(name)

    @settings(
        max_examples=25,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def run(case):
        answer = case.call(headers={"Authorization": f"Bearer {secret}"})
        case.validate_response(answer, checks=_checks())
        if answer.status_code >= 400:
            assert "application/problem+json" in str(answer.headers), answer.headers

    run()


def _checks():
    wanted = (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    )
    return [CHECKS.get_one(name) for name in wanted]
