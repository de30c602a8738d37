"""Before the fix: a higher threshold, or silence for one customer, each with its price; one click builds the bundle."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from models_registry.models import Bundle, ThresholdProposal
from models_registry.services import dials, scoring
from tests.triage.test_complaint import RECORD
from triage.services import filing, stopgaps
from triage.services.reproduction import file_of, score_row

pytestmark = pytest.mark.django_db


@pytest.fixture
def complaint(loud, customer, support):
    scoring.score_waiting()
    return filing.file(customer, RECORD, "x", support)


def test_silence_costs_every_verdict_of_the_version(complaint, loud):
    prices = {one.how: one for one in stopgaps.of(complaint)}
    flagged = loud.score_files.get()
    assert prices["silent"].positives == prices["silent"].of == flagged.covered + flagged.unique_candidates
    assert prices["silent"].unique == flagged.unique_candidates
    if "threshold" in prices:
        assert complaint.score < prices["threshold"].threshold < complaint.score + 3e-6
        assert prices["threshold"].positives <= prices["silent"].positives


def test_a_higher_threshold_is_proposed_first_and_built_once_two_agree(complaint, loud, engineer, senior):
    [higher] = [one for one in stopgaps.of(complaint) if one.how == "threshold"]
    assert not higher.agreed
    before = Bundle.objects.count()
    for _press in range(2):
        with pytest.raises(stopgaps.NoStopGap, match="was proposed"):
            stopgaps.build(complaint, "threshold", engineer)
    asked = ThresholdProposal.objects.get()
    assert (asked.threshold, asked.reason) == (higher.threshold, complaint.number)
    assert Bundle.objects.count() == before
    dials.decide(asked, senior, approve=True)
    try:
        built = stopgaps.build(complaint, "threshold", engineer)
    except stopgaps.NoStopGap as refusal:  # the gate may find that it loses an attack of the reference set
        assert "may not leave" in str(refusal)
    else:
        assert built.entries.get().threshold == higher.threshold


def test_a_silent_version_is_built_for_one_customer_and_fixes_his_complaint(complaint, loud, engineer_client):
    shown = engineer_client.get(reverse("triage:stop-gaps", args=[complaint.pk])).text
    assert "this version silent" in shown
    url = reverse("triage:build-stop-gap", args=[complaint.pk])
    assert engineer_client.post(url, {"how": "silent"}).status_code == 302
    bundle = Bundle.objects.order_by("-id")[0]
    assert [entry.is_silent for entry in bundle.entries.all()] == [True]
    assert engineer_client.post(url, {"how": "magic"}).status_code == 409
    assert loud.detector.name not in score_row(json.loads(complaint.row), file_of(bundle)).fired
