"""The second person's word changes the stage: once, by another account of the other role, if nothing moved since."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from accounts.models import AuditEntry, User
from accounts.roles import Role
from models_registry.models import StageChange, StageDecision, StageProposal, Version
from models_registry.services import stages, versions
from models_registry.services.stages import StageRefused, approve, decline, propose
from tests.factories import make_detector, make_snapshot, make_user, make_version
from tests.models_registry.staging import gated
from tests.processes import at_once


def stage_of(version: Version) -> str:
    return Version.objects.get(pk=version.pk).stage


@pytest.fixture
def silent(db) -> Version:
    version = make_version()
    gated(version)
    return version


def test_an_engineer_proposes_and_a_senior_approves(silent, engineer, senior):
    decision = approve(propose(silent, "active", engineer, reason="ready"), senior)
    assert stage_of(silent) == "active"
    change = StageChange.objects.get()
    assert (change.old, change.new, change.reason, change.by) == ("silent", "active", "ready", senior)
    assert decision.change == change
    assert decision.gate_report == silent.gate_reports.get()
    assert AuditEntry.objects.get(action="stage.approved").actor == senior


def test_a_senior_proposes_and_an_engineer_approves(silent, engineer, senior):
    approve(propose(silent, "active", senior), engineer)
    assert stage_of(silent) == "active"


def test_nobody_approves_his_own_proposal(silent, engineer):
    with pytest.raises(StageRefused, match="own proposal"):
        approve(propose(silent, "active", engineer), engineer)
    assert stage_of(silent) == "silent"


def test_not_even_after_a_change_of_role(silent, engineer):
    proposal = propose(silent, "active", engineer)
    User.objects.filter(pk=engineer.pk).update(role=Role.SENIOR)
    with pytest.raises(StageRefused, match="own proposal"):
        approve(proposal, User.objects.get(pk=engineer.pk))


@pytest.mark.parametrize("role", [Role.ENGINEER, Role.ADMINISTRATOR, Role.EXPERT, Role.SUPPORT, Role.AUDITOR])
def test_the_second_person_is_a_senior_and_nobody_else(silent, engineer, role):
    proposal = propose(silent, "active", engineer)
    with pytest.raises(StageRefused):
        approve(proposal, make_user(role))
    assert stage_of(silent) == "silent"


def test_somebody_who_was_locked_out_approves_nothing(silent, engineer):
    with pytest.raises(StageRefused):
        approve(propose(silent, "active", engineer), make_user(Role.SENIOR, is_active=False))


@pytest.mark.parametrize("to", ["retired", "silent"])
def test_the_version_that_was_active_goes_where_was_chosen(silent, engineer, senior, to):
    former = make_version(detector=silent.detector, stage="active")
    approve(propose(silent, "active", engineer, displaced_to=to), senior)
    assert (stage_of(silent), stage_of(former)) == ("active", to)
    assert former.stage_changes.get().reason == f"{silent} takes its place"


def test_promoting_twice_is_one_change(silent, engineer, senior):
    proposal = propose(silent, "active", engineer)
    assert approve(proposal, senior) == approve(proposal, make_user(Role.SENIOR)) == approve(proposal, senior)
    assert StageChange.objects.count() == 1
    with pytest.raises(StageRefused, match="active already"):
        propose(silent, "active", engineer)


def test_the_snapshot_may_not_have_grown_since(silent, engineer, senior):
    proposal = propose(silent, "active", engineer)
    newer = make_snapshot(detector=silent.detector)
    with pytest.raises(StageRefused, match="not gated"):
        approve(proposal, senior)
    report = gated(silent, snapshot=newer)
    assert approve(proposal, senior).gate_report == report


def test_a_version_that_moved_and_came_back_needs_a_new_proposal(silent, engineer, senior):
    proposal = propose(silent, "active", engineer)
    for stage in ("active", "silent"):
        versions.change_stage(silent, stage, reason="by command")
    assert not stages.proposals().exists()
    with pytest.raises(StageRefused, match="has moved since"):
        approve(proposal, senior)


def test_another_version_became_active_meanwhile(silent, engineer, senior):
    proposal = propose(silent, "active", engineer)
    other = make_version(detector=silent.detector)
    gated(other, snapshot=silent.gate_reports.get().snapshot)
    approve(propose(other, "active", engineer), senior)
    with pytest.raises(StageRefused, match="propose again"):
        approve(proposal, senior)
    assert (stage_of(silent), stage_of(other)) == ("silent", "active")


def test_what_was_declined_is_not_approved(silent, engineer, senior):
    proposal = propose(silent, "active", engineer)
    decline(proposal, senior, "too few hosts")
    with pytest.raises(StageRefused, match="declined by"):
        approve(proposal, make_user(Role.SENIOR))


@pytest.mark.django_db
def test_the_database_keeps_one_active_version_per_detector():
    detector = make_detector()
    make_version(detector=detector, stage="active")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_version(detector=detector, stage="active")


def test_the_button_approves_and_the_history_names_both(client, silent, engineer, senior):
    proposal = propose(silent, "active", engineer)
    client.force_login(senior)
    page = client.post(reverse("models_registry:approve-stage", args=[proposal.pk]), follow=True).text
    assert f"proposed by {engineer}, approved by {senior}" in page
    assert "approval 1 of 2" not in page
    assert stage_of(silent) == "active"


def test_an_engineer_cannot_press_for_an_engineer(client, silent, engineer):
    proposal = propose(silent, "active", engineer)
    client.force_login(make_user(Role.ENGINEER))
    page = client.post(reverse("models_registry:approve-stage", args=[proposal.pk]), follow=True).text
    assert "the second person is senior expert" in page
    assert stage_of(silent) == "silent"


def _approve(proposal: int, person: int) -> int | str:
    try:
        return stages.approve(StageProposal.objects.get(pk=proposal), User.objects.get(pk=person)).pk
    except StageRefused as refusal:
        return str(refusal)


@pytest.mark.django_db(transaction=True)
def test_two_approvals_at_once_are_one():
    silent = make_version()
    gated(silent)
    proposal = propose(silent, "active", make_user(Role.ENGINEER))
    answers = at_once(_approve, [(proposal.pk, make_user(Role.SENIOR).pk) for _ in range(4)])
    assert answers == [StageDecision.objects.get().pk] * 4
    assert StageChange.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_promotions_at_once_leave_one_active_version():
    one = make_version()
    other = make_version(detector=one.detector)
    snapshot = gated(one).snapshot
    gated(other, snapshot=snapshot)
    engineer, senior = make_user(Role.ENGINEER), make_user(Role.SENIOR)
    proposals = [propose(version, "active", engineer) for version in (one, other)]
    answers = at_once(_approve, [(proposal.pk, senior.pk) for proposal in proposals])
    assert sum(isinstance(answer, int) for answer in answers) == 1, answers
    assert sorted([stage_of(one), stage_of(other)]) == ["active", "silent"]
