"""A proposal is a row that changes nothing; for active it needs a gate that says yes about what is in force."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.roles import Role
from models_registry.models import StageChange, StageProposal
from models_registry.services import stages
from models_registry.services.stages import StageRefused, propose
from tests.factories import make_detector, make_snapshot, make_user, make_version
from tests.models_registry.staging import gated

pytestmark = pytest.mark.django_db


def test_a_proposal_changes_no_stage(engineer):
    version = make_version(stage="candidate")
    proposal = propose(version, "silent", engineer, reason="looks good")
    version.refresh_from_db()
    assert version.stage == "candidate"
    assert (proposal.old, proposal.new, proposal.by, proposal.role) == ("candidate", "silent", engineer, "engineer")
    assert not StageChange.objects.exists()
    assert AuditEntry.objects.get(action="stage.proposed").actor == engineer


def test_an_equal_proposal_that_waits_is_not_doubled(engineer, senior):
    version = make_version(stage="candidate")
    assert propose(version, "silent", engineer) == propose(version, "silent", senior)
    assert StageProposal.objects.count() == 1


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.EXPERT, Role.SUPPORT, Role.AUDITOR])
def test_others_propose_nothing(role):
    with pytest.raises(StageRefused, match="engineer and a senior"):
        propose(make_version(), "retired", make_user(role))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("candidate", "active"),
        ("candidate", "candidate"),
        ("silent", "candidate"),
        ("retired", "active"),
        ("active", "active"),
        ("silent", "nonsense"),
        ("silent", ""),
    ],
)
def test_stages_follow_each_other(engineer, old, new):
    with pytest.raises(StageRefused):
        propose(make_version(stage=old), new, engineer)


def test_active_without_a_reference_set_is_refused(engineer):
    with pytest.raises(StageRefused, match="no reference set"):
        propose(make_version(), "active", engineer)


def test_active_without_a_gate_is_refused(engineer):
    version = make_version()
    make_snapshot(detector=version.detector)
    with pytest.raises(StageRefused, match="not gated"):
        propose(version, "active", engineer)


def test_a_gate_that_says_no_is_told_in_its_own_words(engineer):
    version = make_version()
    gated(version, passed=False)
    with pytest.raises(StageRefused, match="may not leave"):
        propose(version, "active", engineer)


def test_a_gate_at_another_threshold_does_not_count(engineer):
    version = make_version(threshold=0.5)
    gated(version)
    type(version).objects.filter(pk=version.pk).update(threshold=0.7)
    with pytest.raises(StageRefused, match=r"not gated at 0\.7"):
        propose(version, "active", engineer)


def test_a_gate_on_an_older_snapshot_does_not_count(engineer):
    version = make_version()
    gated(version)
    newest = make_snapshot(detector=version.detector)
    with pytest.raises(StageRefused, match=f"snapshot {newest.number}"):
        propose(version, "active", engineer)


def test_a_gate_under_another_rule_mapping_does_not_count(engineer):
    version = make_version()
    gated(version)
    version.detector.mappings.create(number=2, mapping={"categories": ["Other"]}, digest="f" * 64)
    with pytest.raises(StageRefused, match="run the gate"):
        propose(version, "active", engineer)


def test_the_proposal_names_the_gate_and_the_version_it_displaces(engineer):
    detector = make_detector()
    active, silent = make_version(detector=detector, stage="active"), make_version(detector=detector)
    report = gated(silent)
    proposal = propose(silent, "active", engineer, displaced_to="silent")
    assert (proposal.gate_report, proposal.displaces, proposal.displaced_to) == (report, active, "silent")
    with pytest.raises(StageRefused, match="silent or retired"):
        propose(silent, "active", engineer, displaced_to="candidate")


def test_the_button_proposes_and_the_page_says_what_happens_next(client, engineer, senior):
    version = make_version(stage="candidate")
    url = reverse("models_registry:version", args=[version.detector.name, version.number])
    client.force_login(engineer)
    assert "Propose: silent" in client.get(url).text
    propose_url = reverse("models_registry:propose-stage", args=[version.detector.name, version.number])
    told = client.post(propose_url, {"stage": "silent", "reason": "<b>good</b>\0"}, follow=True)
    assert told.redirect_chain == [(url, 302)]
    assert "it needs: senior expert" in told.text
    assert "approval 1 of 2" in told.text
    assert "&lt;b&gt;good&lt;/b&gt;" in told.text
    proposal = StageProposal.objects.get()
    approve = reverse("models_registry:approve-stage", args=[proposal.pk])
    assert approve not in told.text  # not one's own
    client.force_login(senior)
    for page in (url, reverse("models_registry:detectors")):
        assert approve in client.get(page).text


def test_a_refusal_is_told_on_the_page(engineer_client):
    version = make_version()
    url = reverse("models_registry:propose-stage", args=[version.detector.name, version.number])
    assert "no reference set" in engineer_client.post(url, {"stage": "active"}, follow=True).text
    assert "may become" in engineer_client.post(url, follow=True).text


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.EXPERT, Role.AUDITOR])
def test_others_see_no_buttons(client, role):
    version = make_version()
    proposal = stages.propose(version, "retired", make_user(Role.ENGINEER))
    client.force_login(make_user(role))
    page = client.get(reverse("models_registry:version", args=[version.detector.name, version.number])).text
    assert "approval 1 of 2" in page
    for name, args in (("propose-stage", [version.detector.name, version.number]), ("approve-stage", [proposal.pk])):
        url = reverse(f"models_registry:{name}", args=args)
        assert url not in page
        assert client.post(url).status_code == 403
