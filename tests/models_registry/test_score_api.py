"""`POST /api/v1/score/`: any registered version or bundle says what the pipeline and the appliance would say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.models import Token
from accounts.roles import Role
from detection.contract import encode
from detection.scoring import probability
from detection.sources.suricata import session_row
from models_registry.models import Version
from models_registry.services import asked_scores, bundles, versions
from tests.factories import make_token, make_user, make_version
from tests.models_registry.loop import ATTACK, PAGE, http, keep_snapshot, make_loop, right_rows
from traffic import storage

pytestmark = pytest.mark.django_db
URL = "/api/v1/score/"


@pytest.fixture
def version(tmp_path: Path) -> Version:
    made = make_loop(tmp_path)
    keep_snapshot(made.detector, *right_rows())
    return made


@pytest.fixture
def service() -> Client:
    return Client(headers={"Authorization": f"Bearer {make_token(Token.Kind.SERVICE, 'portal')[1]}"})


def ask(client: Client, **body: Any) -> Any:
    return client.post(URL, body, content_type="application/json")


def columns(uri: str) -> dict[str, Any]:
    row = session_row(http(1, uri))
    return {name: row[name] for name in ("uri", "host", "method", "status", "user_agent", "dst_port")}


def test_the_same_bits_as_the_pipeline_single_and_in_a_batch(service: Client, version: Version) -> None:
    records = [http(1, ATTACK), http(2, PAGE)]
    told = ask(service, version=str(version), records=records).json()
    rows = [session_row(record) for record in records]
    contract = versions.contract(version)
    raw = versions.scorer(version).raw(encode(contract, {name: [row[name] for row in rows] for name in rows[0]}))
    assert [one["raw"] for one in told["results"]] == raw.tolist()
    assert [one["score"] for one in told["results"]] == probability(raw).tolist()
    assert [one["verdict"] for one in told["results"]] == [True, False]
    assert told["model"] == {
        "kind": "version",
        "name": "http-attacks:1",
        "digest": version.onnx_digest,
        "protocol": "http",
        "threshold": version.threshold,
        "reads": list(contract.reads),
    }
    single = ask(service, digest=version.onnx_digest, record=records[0]).json()
    assert single["results"] == told["results"][:1]


def test_columns_score_as_the_record_they_come_from(service: Client, version: Version) -> None:
    """The decoded address is worked out as every reader of logs does."""
    whole = {name: session_row(http(1, ATTACK))[name] for name in versions.contract(version).reads}
    del whole["uri_decoded"]
    by_columns = ask(service, version=str(version), session=whole).json()["results"]
    assert by_columns == ask(service, version=str(version), record=http(1, ATTACK)).json()["results"]
    assert ask(service, version=str(version), sessions=[{}, columns(PAGE)]).status_code == 200  # all may be missing


def test_a_bundle_answers_as_at_the_customer(service: Client, version: Version) -> None:
    text = f'registry_name: http-attacks\n  version: 1\n  threshold: {version.threshold}\n  is_silent: "false"\n'
    bundle = bundles.build(f"models:\n- {text}")
    told = ask(service, digest=bundle.digest, records=[http(1, ATTACK), http(2, PAGE)]).json()
    assert told["model"]["kind"] == "bundle"
    assert [one["verdicts"] for one in told["results"]] == [{"http-attacks": True}, {"http-attacks": False}]
    one = ask(service, version=str(version), record=http(1, ATTACK)).json()["results"][0]
    assert told["results"][0]["scores"] == {"http-attacks:1": pytest.approx(one["score"])}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"session": {}}, None),  # no model
        ({"version": "http-attacks:1", "digest": "0" * 64, "session": {}}, None),
        ({"version": "http-attacks:9", "session": {}}, "version"),
        ({"version": "http-attacks:1²", "session": {}}, "version"),
        ({"version": 7, "session": {}}, "version"),
        ({"digest": "0" * 64, "session": {}}, "digest"),
        ({"digest": "../../etc/passwd", "session": {}}, "digest"),
        ({"version": "http-attacks:1"}, None),
        ({"version": "http-attacks:1", "session": {}, "sessions": [{}]}, None),
        ({"version": "http-attacks:1", "sessions": []}, "sessions"),
        ({"version": "http-attacks:1", "sessions": {}}, "sessions"),
        ({"version": "http-attacks:1", "session": [1]}, "session"),
        ({"version": "http-attacks:1", "sessions": [{}, 7]}, "sessions.1"),
        ({"version": "http-attacks:1", "sessions": [{}, {"status": "200"}]}, "sessions.1.status"),
        ({"version": "http-attacks:1", "session": {"status": True}}, "session.status"),
        ({"version": "http-attacks:1", "session": {"status": 2**63}}, "session.status"),
        ({"version": "http-attacks:1", "session": {"uri": 1}}, "session.uri"),
        ({"version": "http-attacks:1", "session": {"uri": "x" * 100_001}}, "session.uri"),
        ({"version": "http-attacks:1", "session": {"url": "/"}}, "session.url"),
        ({"version": "http-attacks:1", "session": {"protocol": "tls"}}, "session.protocol"),
        ({"version": "http-attacks:1", "records": [{"event_type": "dns"}]}, "records.0"),
        ({"version": "http-attacks:1", "session": {}, "run": True}, "run"),
    ],
)
def test_what_is_wrong_is_named(service: Client, version: Version, body: dict[str, Any], field: str | None) -> None:
    answer = ask(service, **body)
    assert answer.status_code == 400, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    named = [str(error["field"] or "") for error in answer.json()["errors"]]
    assert any(name.startswith(field or "") for name in named), named


def test_more_than_a_batch_is_too_much(service: Client, version: Version) -> None:
    answer = ask(service, version=str(version), sessions=[{}] * (asked_scores.MOST + 1))
    assert answer.status_code == 413
    assert "at most 1000" in answer.json()["detail"]


def test_a_file_that_is_gone_or_changed_answers_503(service: Client, version: Version) -> None:
    assert ask(service, version=str(make_version()), session={}).status_code == 503
    storage.put_bytes(version.onnx_path, b"else")
    asked_scores._checked.cache_clear()
    answer = ask(service, version=str(version), session={})
    assert (answer.status_code, answer.json()["code"]) == (503, "model_gone")
    assert "has changed since it was registered" in answer.json()["detail"]


@pytest.mark.parametrize("kind", [Token.Kind.SENSOR, Token.Kind.SYSTEM])
def test_other_machines_do_not_ask(kind: Token.Kind) -> None:
    client = Client(headers={"Authorization": f"Bearer {make_token(kind)[1]}"})
    assert ask(client, version="http-attacks:1", session={}).status_code == 403


def test_a_services_token_opens_nothing_else(service: Client) -> None:
    assert service.get("/api/v1/detectors/").status_code == 403
    assert service.post("/api/v1/traffic/", b"{}", content_type="application/x-ndjson").status_code in (401, 403)


def test_people_ask_too_but_support_does_not(version: Version) -> None:
    for role, status in ((Role.EXPERT, 200), (Role.AUDITOR, 200), (Role.SUPPORT, 403)):
        client = Client()
        client.force_login(make_user(role))
        assert ask(client, version=str(version), session=columns(PAGE)).status_code == status
