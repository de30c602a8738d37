"""A proposal can be declined or taken back, with a reason that stays."""

from __future__ import annotations

import pytest
from django.urls import reverse

from models_registry.models import StageDecision
from models_registry.services import stages
from tests.factories import make_proposal

pytestmark = pytest.mark.django_db


def test_a_reason_is_needed(senior):
    proposal = make_proposal()
    with pytest.raises(stages.StageRefused, match="Say why"):
        stages.decline(proposal, senior, "  ")
    assert stages.proposals().get() == proposal


def test_the_second_person_declines(senior):
    stages.decline(make_proposal(), senior, "too early")
    assert StageDecision.objects.get().reason == "too early"
    assert not stages.proposals().exists()


def test_one_takes_ones_own_proposal_back(engineer):
    stages.decline(make_proposal(by=engineer), engineer, "a mistake")
    assert StageDecision.objects.get().by == engineer


def test_the_first_decision_stands(engineer, senior):
    proposal = make_proposal()
    stages.decline(proposal, senior, "no")
    with pytest.raises(stages.StageRefused, match="decided already"):
        stages.decline(proposal, engineer, "no, too")


def test_others_decide_nothing(administrator):
    with pytest.raises(stages.StageRefused):
        stages.decline(make_proposal(), administrator, "no")


def test_the_button_tells_what_happened(senior_client):
    proposal = make_proposal()
    url = reverse("models_registry:decline-stage", args=[proposal.pk])
    assert "Say why" in senior_client.post(url, follow=True).text
    assert "Declined" in senior_client.post(url, {"reason": "too early"}, follow=True).text
    assert "approval 1 of 2" not in senior_client.get(reverse("models_registry:detectors")).text
