"""Detectors over the API: read by everybody who reads, made and changed by scripts of those who may."""

from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import Token
from accounts.roles import Role
from accounts.services import tokens
from models_registry.models import Detector, DetectorProposal
from models_registry.services import ship_queries
from tests.factories import make_detector, make_token, make_user, make_version

pytestmark = pytest.mark.django_db
URL = "/api/v1/detectors/"
SPEC = {"name": "telegram", "protocol": "tls", "positive_class": "telegram", "rules": {"name_patterns": ["ET APP *"]}}


def script_of(role):
    owner = make_user(role)
    secret = tokens.make_own_token(owner, "script")[1]
    return owner, Client(headers={"Authorization": f"Bearer {secret}"})


def test_the_list_and_one_with_its_versions():
    version = make_version()
    _owner, script = script_of(Role.AUDITOR)
    [told] = script.get(URL).json()
    assert told["name"] == version.detector.name
    assert told["rules"]["categories"] == ["Attack"]
    assert told["versions"] == [told["versions"][0] | {"number": 1, "stage": "silent", "threshold": 0.7}]
    assert script.get(f"{URL}{version.detector.name}/").json() == told
    assert script.get(f"{URL}none/").status_code == 404


def test_a_person_who_is_signed_in_reads_too(expert_client):
    assert expert_client.get(URL).json() == []


@pytest.mark.parametrize("kind", [Token.Kind.SENSOR, Token.Kind.SYSTEM])
def test_machines_read_no_detectors(kind):
    secret = make_token(kind)[1]
    assert Client(headers={"Authorization": f"Bearer {secret}"}).get(URL).status_code == 403


def test_an_engineers_script_makes_a_detector():
    owner, script = script_of(Role.ENGINEER)
    answer = script.post(URL, SPEC, content_type="application/json")
    assert answer.status_code == 201, answer.content
    assert answer.json()["rules"]["name_patterns"] == ["ET APP *"]
    assert Detector.objects.get().mapping.made_by == owner
    assert script.post(URL, SPEC, content_type="application/json").status_code == 409


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "new"},
        {"protocol": "smtp"},
        {"rules": {"classtypes": ["none"]}},
        {"false_positive_cost": -1},
        {"schedule": {"hour": 24}},
        {"positive_key": "b"},
    ],
)
def test_what_is_wrong_is_a_problem(wrong):
    answer = script_of(Role.ENGINEER)[1].post(URL, SPEC | wrong, content_type="application/json")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["errors"]
    assert not Detector.objects.exists()


def test_a_script_proposes_and_cannot_approve():
    detector = make_detector()
    owner, script = script_of(Role.ENGINEER)
    answer = script.post(
        f"{URL}{detector.name}/proposals/", {"false_positive_cost": 25}, content_type="application/json"
    )
    assert answer.status_code == 201, answer.content
    proposal = DetectorProposal.objects.get(pk=answer.json()["id"])
    assert proposal.by == owner
    _senior, other = script_of(Role.SENIOR)
    page = other.post(f"/changes/{proposal.pk}/approve/")
    assert page.status_code == 302 and "login" in page.headers["Location"]
    assert not hasattr(DetectorProposal.objects.get(), "decision")
    again = script.post(f"{URL}{detector.name}/proposals/", {}, content_type="application/json")
    assert again.status_code == 400


@pytest.mark.parametrize("role", [Role.EXPERT, Role.SUPPORT, Role.ADMINISTRATOR, Role.AUDITOR])
def test_others_make_nothing(role):
    answer = script_of(role)[1].post(URL, SPEC, content_type="application/json")
    assert answer.status_code == 403


def test_a_browser_needs_the_forms_token(engineer):
    client = Client(enforce_csrf_checks=True)
    client.force_login(engineer)
    assert client.post(URL, SPEC, content_type="application/json").status_code == 403
    assert not Detector.objects.exists()


def test_ship_queries_are_proposed_by_scripts_and_never_approved_there():
    detector = make_detector()
    address = f"{URL}{detector.name}/ship-queries/"
    owner, script = script_of(Role.ENGINEER)
    terms = {"filter": 'dst.dns == "shop.example"', "ceilings": {"sessions": 5, "hosts_share": 0.01}}
    answer = script.post(address, {"name": "elsewhere", "terms": terms}, "application/json")
    assert answer.status_code == 201, answer.json()
    assert script.get(address).json() == []
    senior = make_user(Role.SENIOR)
    ship_queries.approve(ship_queries.proposals(detector).get(by=owner), senior)
    [told] = script.get(address).json()
    assert (told["name"], told["approved_by"]) == ("elsewhere", senior.username)
    assert told["terms"]["ceilings"]["sessions"] == 5
    for wrong in ({"filter": "htp.x == 1", "ceilings": terms["ceilings"]}, terms | {"ceilings": {"sessions": 1}}):
        other = {"name": "other", "terms": wrong}
        assert script.post(address, other, "application/json").status_code == 400
