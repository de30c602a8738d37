"""`POST /api/v1/traffic/`: a sensor hands its log in; what is refused leaves nothing behind."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import Token
from tests.detection import zeek_logs
from tests.factories import make_token
from tests.models_registry.loop import hit, http
from traffic.models import Intake, Segment, Sensor
from traffic.services import ingest, runs, uploads

pytestmark = pytest.mark.django_db
URL = "/api/v1/traffic/"


def lines(count=5):
    records = [http(flow, f"/{flow}") for flow in range(1, count + 1)] + [hit(1)]
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


@pytest.fixture
def send(client):
    def sent(body, secret=None, url=URL, **headers):
        headers = {"Authorization": f"Bearer {secret or make_token()[1]}"} | headers
        return client.post(url, body, content_type=headers.pop("type", "application/x-ndjson"), headers=headers)

    return sent


def stored():
    root = Path(settings.ETALON_STORAGE.removeprefix("file://"))
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_log_is_taken_in_under_the_name_of_the_token(send):
    answer = send(lines())
    assert answer.status_code == 201, answer.content
    told = answer.json()
    assert (told["sessions"], told["rule_hits"], told["rejected"], told["duplicate"]) == (5, 1, 0, False)
    intake = Intake.objects.get(pk=told["intake"])
    assert intake.sensor.name == "office"
    assert intake.segments.sealed().count() == 1


def test_lines_of_zeek_are_taken_in_too(send):
    answer = send(zeek_logs.json_log([zeek_logs.http(), zeek_logs.http("C2")]))
    assert (answer.status_code, answer.json()["http"]) == (201, 2), answer.content


def test_the_same_bytes_again_are_the_same_intake(send):
    first = send(lines())
    again = send(lines())
    assert again.status_code == 200
    assert (again.json()["duplicate"], again.json()["intake"]) == (True, first.json()["intake"])
    assert Intake.objects.count() == 1


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}, {"type": "application/gzip"}])
def test_gzip_is_known_by_its_bytes(send, headers):
    answer = send(gzip.compress(lines()), **headers)
    assert (answer.status_code, answer.json()["sessions"]) == (201, 5)


def test_bad_lines_are_told_with_reasons_and_kept_aside(send, administrator_client):
    told = send(lines() + b"{torn\n").json()
    assert told["rejected"] == 1
    assert sum(told["reasons"].values()) == 1
    assert "{torn" in administrator_client.get(told["quarantine"]).text


def problem(answer, status, code=None):
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert code is None or told["code"] == code
    return told["detail"]


def nothing_was_kept():
    return not Intake.objects.exists() and not Segment.objects.exists() and not stored()


def test_a_stranger_is_told_to_show_a_token():
    answer = Client().post(URL, lines(), content_type="application/x-ndjson")
    problem(answer, 401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert nothing_was_kept()


@pytest.mark.parametrize("secret", ["etalon_000000000000_" + "x" * 43, "x", "Basic"])
def test_a_wrong_token_gets_nowhere(send, secret):
    problem(send(lines(), secret), 401, "authentication_failed")
    assert nothing_was_kept()


def test_a_revoked_token_gets_nowhere(send):
    token, secret = make_token()
    Token.objects.update(revoked_at=token.created_at)
    problem(send(lines(), secret), 401)


def test_signing_in_is_not_enough(administrator_client):
    problem(administrator_client.post(URL, lines(), content_type="application/x-ndjson"), 401)


def test_a_token_of_another_kind_is_refused(send):
    problem(send(lines(), make_token(Token.Kind.SYSTEM, "waf")[1]), 403)


def test_a_token_speaks_for_its_own_sensor_only(send):
    assert "office" in problem(send(lines(), url=f"{URL}?sensor=core-1"), 403)
    assert not Sensor.objects.filter(name="core-1").exists()
    assert send(lines(), url=f"{URL}?sensor=office").status_code == 201


def test_what_the_log_is_called_is_what_training_leaves_out(send):
    send(lines(), url=f"{URL}?name=eve-2026-03-01.json")
    assert Segment.objects.get().source == "eve-2026-03-01"
    problem(send(lines(), url=f"{URL}?name=a%00b"), 400)


def test_only_post_is_allowed(client):
    problem(client.get(URL, headers={"Authorization": f"Bearer {make_token()[1]}"}), 405)


def test_an_empty_body_is_refused(client):
    secret = make_token()[1]
    problem(client.post(URL, b"", content_type="x/y", CONTENT_LENGTH="0", HTTP_AUTHORIZATION=f"Bearer {secret}"), 400)


def test_a_body_without_a_length_is_refused(client):
    secret = make_token()[1]
    problem(
        client.post(URL, lines(), content_type="x/y", CONTENT_LENGTH="", HTTP_AUTHORIZATION=f"Bearer {secret}"), 411
    )


def test_too_long_a_body_is_refused_before_it_is_read(send, monkeypatch):
    monkeypatch.setattr(uploads, "BODY_BYTES", 100)
    problem(send(lines()), 413)
    assert nothing_was_kept()


def test_a_bomb_is_refused_and_nothing_is_kept(send):
    problem(send(gzip.compress(lines() + b" " * (30 << 20))), 413)
    assert nothing_was_kept()


def test_unknown_codings_are_refused(send):
    problem(send(lines(), **{"Content-Encoding": "br"}), 415)
    problem(send(lines(), **{"Content-Encoding": "gzip"}), 400)


def test_a_body_that_ends_too_early_is_refused_and_nothing_is_kept(client):
    body, secret = lines(), make_token()[1]
    torn = {"CONTENT_LENGTH": str(len(body) + 10), "wsgi.input": io.BytesIO(body)}
    answer = client.post(URL, body, content_type="x/y", HTTP_AUTHORIZATION=f"Bearer {secret}", **torn)
    assert "torn" in problem(answer, 400)
    assert nothing_was_kept()


def test_a_full_disk_says_when_to_come_again(send, monkeypatch):
    monkeypatch.setattr(uploads, "FREE_BYTES", 1 << 60)
    monkeypatch.setattr(uploads, "FREE_SHARE", 1.1)
    answer = send(lines())
    problem(answer, 503, "no_room")
    assert int(answer.headers["Retry-After"]) > 0
    assert nothing_was_kept()


def test_too_many_at_once_say_when_to_come_again(send, monkeypatch):
    monkeypatch.setattr(uploads, "AT_ONCE", 1)
    with runs.Run():
        answer = send(lines())
    problem(answer, 429, "too_busy")
    assert int(answer.headers["Retry-After"]) > 0
    assert send(lines()).status_code == 201


def test_a_token_may_not_ask_without_end(send, monkeypatch):
    monkeypatch.setattr("traffic.api.Traffic.rate", "2/min")
    secret = make_token()[1]
    assert [send(lines(), secret).status_code for _ in range(3)] == [201, 200, 429]
    assert send(lines(), make_token(name="core-2")[1]).status_code == 200  # others are counted apart


def test_guessing_tokens_is_slowed_down(send, monkeypatch):
    monkeypatch.setattr("accounts.api._WrongTokens.rate", "2/min")
    answers = [send(b"x", "x").status_code for _ in range(4)]
    assert answers == [401, 401, 429, 429]


def test_an_error_of_ours_is_a_problem_too(monkeypatch):
    def broken(*args):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(uploads, "take_in", broken)
    client = Client(raise_request_exception=False)
    answer = client.post(URL, b"x", content_type="x/y", headers={"Authorization": f"Bearer {make_token()[1]}"})
    assert "on purpose" not in problem(answer, 500)


def test_the_body_is_never_whole_in_memory(send, monkeypatch):
    asked = []
    received = uploads.Body.read

    def read(self, size=-1):
        asked.append(size)
        return received(self, size)

    monkeypatch.setattr(uploads.Body, "read", read)
    assert send(lines(20_000)).status_code == 201
    assert len(asked) > 10
    assert max(asked) <= 1 << 20 and min(asked) > 0
    assert ingest.UPLOAD_POLICY.limits.ratio == 20
