"""Other rules or another price are proposed by one person and in force when another agrees."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.roles import Role
from models_registry.models import DetectorDecision, DetectorProposal
from models_registry.services import detectors as services
from models_registry.services import gates
from models_registry.services.detector_changes import approve, decline, proposals, propose
from models_registry.services.two_people import ChangeRefused
from tests.factories import make_change, make_detector, make_gate_report, make_user, make_version
from tests.models_registry.loop import SPEC

pytestmark = pytest.mark.django_db
RULES = {"sids": [2000001], "name_patterns": ["ET EXPLOIT *"]}


@pytest.fixture
def detector():
    return make_detector()


def test_nothing_changes_before_the_second_person(detector, engineer):
    proposal = propose(detector, engineer, rules=RULES, cost=25, reason="quieter")
    assert detector.mapping.number == 1
    detector.refresh_from_db()
    assert detector.false_positive_cost == 10
    assert list(proposals(detector)) == [proposal]


def test_the_second_person_puts_it_in_force_as_a_new_version(detector, engineer, senior):
    old = detector.mapping
    decision = approve(propose(detector, engineer, rules=RULES, cost=25), senior)
    new = detector.mapping
    assert (new.number, new.made_by, new.approved_by) == (2, engineer, senior)
    assert new == decision.mapping
    assert new.mapping["sids"] == [2000001]
    assert detector.mappings.filter(pk=old.pk, mapping=old.mapping).exists()
    detector.refresh_from_db()
    assert detector.false_positive_cost == 25
    assert not proposals(detector).exists()
    assert {"detector.proposed", "detector.approved"} <= set(AuditEntry.objects.values_list("action", flat=True))


def test_a_price_alone_leaves_the_rules(detector, engineer, senior):
    approve(propose(detector, engineer, cost=25), senior)
    detector.refresh_from_db()
    assert (detector.mapping.number, detector.false_positive_cost) == (1, 25)


def test_rules_alone_leave_the_price(detector, senior, engineer):
    approve(propose(detector, senior, rules=RULES), engineer)
    detector.refresh_from_db()
    assert (detector.mapping.number, detector.false_positive_cost) == (2, 10)


def test_a_gate_report_of_the_old_terms_is_not_current(detector, engineer, senior):
    version = make_version(detector=detector)
    report = make_gate_report(version=version)
    report.report["digests"] = gates._digests(version, version.threshold, report.snapshot)
    assert gates.is_current(report)
    approve(propose(detector, engineer, cost=25), senior)
    version.detector.refresh_from_db()
    assert not gates.is_current(report)


@pytest.mark.parametrize("role", [Role.ENGINEER, Role.ADMINISTRATOR, Role.EXPERT, Role.SUPPORT, Role.AUDITOR])
def test_the_second_person_is_a_senior_and_nobody_else(detector, engineer, role):
    proposal = propose(detector, engineer, cost=25)
    with pytest.raises(ChangeRefused):
        approve(proposal, make_user(role))
    with pytest.raises(ChangeRefused):
        approve(proposal, engineer)
    assert not DetectorDecision.objects.exists()


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.EXPERT, Role.SUPPORT, Role.AUDITOR])
def test_others_propose_nothing(detector, role):
    with pytest.raises(ChangeRefused):
        propose(detector, make_user(role), cost=25)


@pytest.mark.parametrize("change", [{}, {"cost": 10}, {"rules": SPEC["rules"]}])
def test_what_is_in_force_is_not_proposed(engineer, change):
    with pytest.raises(ChangeRefused, match="in force already"):
        propose(services.make_detector(SPEC), engineer, **change)


@pytest.mark.parametrize("change", [{"cost": 0}, {"cost": float("inf")}, {"rules": {"sid": 1}}, {"rules": [1]}])
def test_nonsense_is_refused(detector, engineer, change):
    with pytest.raises(ChangeRefused):
        propose(detector, engineer, **change)


def test_an_equal_proposal_is_the_same(detector, engineer):
    assert propose(detector, engineer, cost=25) == propose(detector, make_user(Role.ENGINEER), cost=25)


def test_what_was_overtaken_is_proposed_again(detector, engineer, senior):
    first, second = propose(detector, engineer, cost=25), propose(detector, engineer, rules=RULES)
    approve(second, senior)
    assert not proposals(detector).exists()
    with pytest.raises(ChangeRefused, match="propose again"):
        approve(first, senior)


def test_approving_twice_is_one_change(detector, engineer, senior):
    proposal = propose(detector, engineer, rules=RULES)
    assert approve(proposal, senior) == approve(proposal, senior)
    assert detector.mappings.count() == 2
    with pytest.raises(IntegrityError), transaction.atomic():
        DetectorDecision.objects.create(proposal=proposal, outcome="approved", by=senior, role="senior")


def test_what_was_declined_is_not_approved(detector, engineer, senior):
    proposal = propose(detector, engineer, cost=25)
    with pytest.raises(ChangeRefused, match="Say why"):
        decline(proposal, senior, " ")
    decline(proposal, senior, "too dear")
    with pytest.raises(ChangeRefused, match="declined by"):
        approve(proposal, make_user(Role.SENIOR))
    assert not proposals().exists()


def test_the_pages_propose_show_the_difference_and_approve(detector, engineer_client, senior_client):
    url = reverse("models_registry:change-detector", args=[detector.name])
    assert detector.mapping.mapping["categories"][0] in engineer_client.get(url).text
    form = {
        "name_patterns": "ET EXPLOIT *\r\n\r\nET SCAN *",
        "sids": "1\n2",
        "false_positive_cost": "25",
        "reason": "why",
    }
    assert engineer_client.post(url, form).status_code == 302
    proposal = DetectorProposal.objects.get()
    assert proposal.mapping["name_patterns"] == ["ET EXPLOIT *", "ET SCAN *"]
    page = reverse("models_registry:detector", args=[detector.name])
    approve_url = reverse("models_registry:approve-change", args=[proposal.pk])
    assert approve_url not in engineer_client.get(page).text
    shown = senior_client.get(page).text
    assert approve_url in shown and "<ins>ET EXPLOIT * · ET SCAN *</ins>" in shown and "<del>10.0</del>" in shown
    senior_client.post(approve_url)
    assert "approved by senior" in senior_client.get(page).text


@pytest.mark.parametrize("wrong", [{"sids": "x"}, {"classtypes": "none"}, {"false_positive_cost": "-1"}])
def test_a_wrong_form_says_what_is_wrong(detector, engineer_client, wrong):
    form = {"name_patterns": "ET *", "false_positive_cost": "25"} | wrong
    answer = engineer_client.post(reverse("models_registry:change-detector", args=[detector.name]), form)
    assert answer.status_code == 400
    assert not DetectorProposal.objects.exists()


def test_the_button_declines(senior_client):
    proposal = make_change()
    senior_client.post(reverse("models_registry:decline-change", args=[proposal.pk]), {"reason": "no"})
    assert DetectorDecision.objects.get().reason == "no"


def test_the_schedule_is_changed_at_once(detector, engineer_client):
    form = {"hour": "4", "weekday": "sunday", "labels": "9", "days": "30"}
    url = reverse("models_registry:change-schedule", args=[detector.name])
    engineer_client.post(url, form | {"hour": "24"})
    detector.refresh_from_db()
    assert detector.retrain_hour == 2
    engineer_client.post(url, form)
    detector.refresh_from_db()
    assert (detector.retrain_hour, detector.retrain_weekday, detector.retrain_labels) == (4, "sunday", 9)
    assert AuditEntry.objects.filter(action="detector.schedule").exists()


@pytest.mark.slow
def test_the_pages_are_accessible(detector, engineer, sign_in, accessible):
    propose(detector, engineer, rules=RULES, cost=25)
    tab = sign_in(engineer)
    for path in (f"/models/{detector.name}/", f"/models/{detector.name}/change/"):
        tab.goto(path)
        tab.locator("h1").wait_for()
        tab.wait_for_load_state("networkidle")
        accessible(tab)
