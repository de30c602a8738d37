"""Support sees the customers they serve: by page, by number, by search and by API. Every look is written down."""

from __future__ import annotations

import base64
import json

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, Token
from accounts.roles import Role
from accounts.services import tokens
from tests.factories import make_attachment, make_complaint, make_customer, make_session_item, make_user
from tests.triage.test_complaint import RECORD
from triage.models import Complaint, Serving

pytestmark = pytest.mark.django_db
API = "/api/v1/complaints/"


@pytest.fixture
def two():
    """A person of support who serves ACME, and a complaint each of ACME and of Globex."""
    person = make_user(Role.SUPPORT, serves_all=False)
    mine, other = (
        make_complaint(customer=make_customer(name="ACME")),
        make_complaint(customer=make_customer(name="Globex")),
    )
    Serving.objects.create(user=person, customer=mine.customer)
    return person, mine, other


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_pages_of_other_customers_do_not_exist(two):
    person, mine, other = two
    client = signed_in(person)
    listed = client.get(reverse("triage:complaints")).text
    assert mine.number in listed
    assert "Globex" not in listed
    file = make_attachment(complaint=other)
    for name, args in (
        ("triage:complaint", [other.pk]),
        ("triage:flips", [other.pk]),
        ("triage:stop-gaps", [other.pk]),
        ("triage:customer", [other.customer_id]),
        ("triage:attachment", [file.pk]),
    ):
        assert client.get(reverse(name, args=args)).status_code == 404, name
    for name in ("ask-customer", "add-information", "reject-complaint", "tell-customer", "erase-complaint"):
        assert client.post(reverse(f"triage:{name}", args=[other.pk]), {"reason": "x"}).status_code == 404, name
    found = client.get(reverse("triage:search"), {"q": other.number}).text
    assert reverse("triage:complaint", args=[other.pk]) not in found
    assert "Globex" not in client.get(reverse("triage:figures")).text
    assert "Globex" not in client.get(reverse("triage:file-complaint")).text
    form = {"customer": other.customer_id, "flagged": "x", "contact": "x"}
    assert client.post(reverse("triage:file-complaint"), form).status_code == 400
    assert client.get("/").context["state"].complaints.open == 1


def test_a_script_of_support_sees_no_more_than_its_owner(two):
    person, mine, other = two
    _token, secret = tokens.make_own_token(person, "script")
    headers = {"Authorization": f"Bearer {secret}"}
    told = Client().get(API, headers=headers).json()["complaints"]
    assert [one["number"] for one in told] == [mine.number]
    assert Client().get(f"{API}{mine.pk}/", headers=headers).json()["state"] == "received"
    assert Client().get(f"{API}{other.pk}/", headers=headers).status_code == 404
    body = {"customer": "Globex", "flagged": "x", "contact": "x"}
    refused = Client().post(API, json.dumps(body), "application/json", headers=headers)
    assert refused.status_code == 400
    assert "customer" in refused.text


def test_every_look_at_a_customers_data_is_in_the_audit_log(two):
    person, mine, _other = two
    client = signed_in(person)
    client.get(reverse("triage:complaint", args=[mine.pk]))
    file = make_attachment(complaint=mine)
    answer = client.get(reverse("triage:attachment", args=[file.pk]))
    client.get(reverse("triage:customer", args=[mine.customer_id]))
    looks = AuditEntry.objects.filter(actor=person).values_list("action", "subject").order_by("id")
    assert list(looks) == [("complaint.viewed", mine.number)] * 2 + [("customer.viewed", "ACME")]
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_an_experts_look_at_a_customers_session_is_there_too(two, expert, expert_client):
    item = two[1].states.get().item
    expert_client.get(reverse("labeling:item", args=[item.pk]))
    expert_client.get(reverse("labeling:raw-record", args=[item.pk]))
    expert_client.get(reverse("labeling:item", args=[make_session_item().pk]))  # our own traffic
    looks = AuditEntry.objects.filter(actor=expert, action="complaint-item.viewed")
    assert list(looks.values_list("subject", flat=True)) == [two[1].number] * 2


def test_administrators_say_who_serves_whom(administrator_client, two):
    person, _mine, other = two
    url = reverse("triage:servings")
    administrator_client.post(url, {"user": person.pk, "customer": other.customer_id})
    assert signed_in(person).get(reverse("triage:complaint", args=[other.pk])).status_code == 200
    serving = Serving.objects.get(user=person, customer=other.customer)
    administrator_client.post(reverse("triage:end-serving", args=[serving.pk]))
    assert signed_in(person).get(reverse("triage:complaint", args=[other.pk])).status_code == 404
    assert AuditEntry.objects.filter(action__startswith="serving.").count() == 2
    assert administrator_client.post(url, {"user": make_user(Role.EXPERT).pk}).status_code == 404


# a customer's portal


@pytest.fixture
def portal(customer):
    _token, secret = tokens.make_token(Token.Kind.PORTAL, "ACME")
    return {"Authorization": f"Bearer {secret}"}


def post(body, headers, path=API):
    return Client().post(path, json.dumps(body), "application/json", headers=headers)


def test_a_portal_files_once_however_often_it_asks(loud, portal):
    body = {"flagged": RECORD, "contact": "soc@acme.example"}
    headers = portal | {"Idempotency-Key": "42"}
    first, second = post(body, headers), post(body, headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["number"] == second.json()["number"]
    assert first.json()["reproduced"] is True
    assert [one["state"] for one in first.json()["steps"]] == ["received", "reproduced"]
    assert post(body | {"contact": "other"}, headers).status_code == 409
    assert Complaint.objects.count() == 1
    assert post(body, portal).status_code == 201


def test_a_portal_answers_what_it_was_asked(loud, portal):
    filed = post({"flagged": "our scanner", "contact": "x"}, portal).json()
    assert (filed["state"], filed["clock"]) == ("needs-information", "paused")
    assert filed["number"] in filed["messages"][0]
    evidence = {"text": "here", "files": [{"name": "x", "content": base64.b64encode(RECORD.encode()).decode()}]}
    answered = post(evidence, portal, f"{API}{filed['id']}/evidence/")
    assert answered.status_code == 200
    assert (answered.json()["state"], answered.json()["clock"]) == ("reproduced", "running")
    assert post(evidence, portal, f"{API}{filed['id']}/evidence/").status_code == 409


def test_a_portal_speaks_for_its_customer_only(portal):
    other = make_complaint(customer=make_customer(name="Globex"))
    assert Client().get(API, headers=portal).json()["complaints"] == []
    assert Client().get(f"{API}{other.pk}/", headers=portal).status_code == 404
    assert post({"customer": "Globex", "flagged": "x", "contact": "x"}, portal).status_code == 403
    assert Client().get("/api/v1/detectors/", headers=portal).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"flagged": "x"},
        {"flagged": "x", "contact": "x", "files": [{"content": "%"}]},
        {"contact": "x", "flagged": ""},
    ],
)
def test_what_is_wrong_with_a_filing_is_said(portal, body):
    answer = post(body, portal)
    assert answer.status_code in (400, 409)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not Complaint.objects.exists()
