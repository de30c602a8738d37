"""The threshold dial: what each threshold would mean, what costs propose, and thresholds by two people."""

from __future__ import annotations

import json
import re
from html import unescape

import numpy as np
import pytest
from django.urls import reverse

from detection import dial
from detection.dial import Forward, Known
from detection.proof import ProofRow
from detection.thresholds import raw_threshold
from jobs.models import Job
from labeling.services import dials
from models_registry.models import ThresholdDecision, ThresholdProposal
from models_registry.services import dials as proposals
from models_registry.services.scoring import score_waiting
from models_registry.services.two_people import ChangeRefused
from tests.factories import make_threshold_proposal, make_user
from tests.models_registry.loop import ATTACK, PAGE, keep_snapshot, make_loop, reference_row
from traffic import storage

NOBODY = Known(np.zeros(0), np.zeros(0, bool), np.zeros(0, bool))


def test_every_threshold_counts_what_stands_at_or_above_it():
    thresholds = [0.1, 0.5, 0.9]
    raw = np.array([-5.0, 0.0, raw_threshold(0.9), 7.0, np.nan])
    counts = dial.counted(raw, dial.edges(thresholds))
    assert counts.tolist() == [1, 0, 1, 2]
    found = dial.steps(thresholds, counts, 2.0, NOBODY, None)
    assert [(step.alerts, step.alerts_per_day) for step in found] == [(3, 1.5), (3, 1.5), (2, 1.0)]
    assert found[0].nearest_negative is None


def test_known_rows_are_lost_or_wrong_by_the_side_they_stand_on():
    raw = np.array([2.0, -2.0, 3.0, -1.0])
    known = Known(raw, np.array([True, True, False, False]), np.array([False, True, False, False]))
    low, middle, high = dial.steps([0.01, 0.5, 0.99], np.zeros(4, np.int64), 1.0, known, None)
    assert [(s.lost, s.covered_lost, s.wrong) for s in (low, middle, high)] == [(0, 0, 2), (0, 1, 1), (1, 1, 0)]
    assert middle.nearest_negative == pytest.approx(1 / (1 + np.e))


def test_the_bound_rests_on_forward_rows_and_is_unknown_below_their_draw():
    rows = [ProofRow(1.0, number == 0, f"10.0.0.{number}", f"{number}.example") for number in range(60)]
    forward = Forward(rows, np.array([0.5, *[3.0] * 59]), since=raw_threshold(0.5))
    below, at, above = dial.steps([0.4, 0.5, 0.9], np.zeros(4, np.int64), 1.0, NOBODY, forward)
    assert (below.bound, below.labels) == (None, 0)
    assert (at.labels, above.labels) == (60, 59)
    assert above.bound > at.bound
    assert above.bound == pytest.approx(0.05 ** (1 / 59))


def test_the_scale_holds_the_thresholds_that_have_a_name():
    scale = dial.scale(0.712345, 1.5)
    assert 0.712345 in scale
    assert scale == sorted(set(scale))
    assert 0 < scale[0] < 0.001
    assert 0.999 < scale[-1] < 1


@pytest.fixture
def version(tmp_path, db):
    """A version that scored its week, with regression rows of both classes and a poisoned hold-out row."""
    version = make_loop(tmp_path)
    score_waiting()
    rows = [reference_row(ATTACK, "positive"), reference_row(PAGE, "negative", number=2)]
    regression = [row.__class__(**{**row_values(row), "role": "regression"}) for row in rows]
    keep_snapshot(version.detector, *regression, reference_row(ATTACK, "negative", number=3))
    return version


def row_values(row):
    return {name: getattr(row, name) for name in row.__slots__}


def test_the_page_shows_a_week_of_scores_and_reads_no_hold_out_row(version, engineer_client):
    page = engineer_client.get(reverse("labeling:dial", args=[version.detector.name, version.number])).text
    steps = json.loads(unescape(re.search(r'data-steps="([^"]*)"', page)[1]))
    assert (steps[0]["alerts"], steps[-1]["wrong"]) == (240, 0)
    assert max(step["wrong"] for step in steps) == 1  # the attack that a hold-out row calls negative is not counted
    own = next(step for step in steps if step["threshold"] == version.threshold)
    assert (own["wrong"], own["lost"]) == (0, 0)
    assert own["alerts"] == version.score_files.get().unique_candidates + version.score_files.get().covered
    assert "regression rows" in page


def test_costs_move_the_proposal_and_a_form_turns_the_dial_without_scripts(version, engineer_client):
    cheap, dear = (
        dials.dial_of(version, false_positive_cost=cost, miss_cost=1.0).proposed.threshold for cost in (1.0, 1e5)
    )
    assert cheap <= dear
    address = reverse("labeling:dial", args=[version.detector.name, version.number])
    page = engineer_client.get(address, {"threshold": "0.0421", "false_positive_cost": "3"}).text
    assert 'value="0.0421"' in page
    assert engineer_client.get(address, {"threshold": "nonsense"}).status_code == 200


def test_a_snapshot_that_is_gone_is_named_and_nothing_else_is_lost(version, engineer_client):
    snapshot = version.detector.snapshots.get()
    kept = storage.get_bytes(snapshot.path)
    storage.delete(snapshot.path)
    address = reverse("labeling:dial", args=[version.detector.name, version.number])
    for answer in (engineer_client.get(address), engineer_client.post(address, {"threshold": "0.5"})):
        assert answer.status_code == 503
        assert f"{snapshot.path} is gone: restore it from a backup" in answer.text
    assert not ThresholdProposal.objects.exists()
    storage.put_bytes(snapshot.path, kept)
    assert engineer_client.get(address).status_code == 200


@pytest.mark.django_db
def test_a_threshold_is_agreed_on_by_two_and_goes_to_the_gate(version, engineer, engineer_client, senior_client):
    address = reverse("labeling:dial", args=[version.detector.name, version.number])
    told = {"threshold": "0.6543", "false_positive_cost": "10", "miss_cost": "1", "reason": "quieter"}
    engineer_client.post(address, told)
    engineer_client.post(address, told)
    asked = ThresholdProposal.objects.get()
    assert (asked.threshold, asked.figures["threshold"], asked.by) == (0.6543, 0.6543, engineer)
    decide = reverse("labeling:decide-threshold", args=[asked.pk])
    engineer_client.post(decide, {"outcome": "approved"})
    assert not ThresholdDecision.objects.exists()
    assert "0.6543" in senior_client.get(address).text
    senior_client.post(decide, {"outcome": "approved"})
    assert proposals.approved(version) == [asked]
    assert Job.objects.filter(task="labeling.tasks.gate_version", arguments__threshold=0.6543).exists()


@pytest.mark.django_db
def test_a_proposal_is_declined_with_a_reason_once(engineer, senior):
    asked = make_threshold_proposal(by=engineer, role=engineer.role)
    with pytest.raises(ChangeRefused, match="Say why"):
        proposals.decide(asked, senior, approve=False)
    proposals.decide(asked, engineer, approve=False, reason="a slip")
    with pytest.raises(ChangeRefused, match="decided already"):
        proposals.decide(asked, senior, approve=True)
    with pytest.raises(ChangeRefused):
        proposals.decide(make_threshold_proposal(), make_user(), approve=True)


def test_the_score_of_a_complaint_is_marked_on_the_dial(version, engineer_client):
    address = reverse("labeling:dial", args=[version.detector.name, version.number])
    page = engineer_client.get(address, {"score": "0.93", "of": "C-12<b>"}).text
    assert page.count('class="marked"') == 3
    assert "C-12&lt;b&gt; 0.93" in page
    assert 'class="marked"' not in engineer_client.get(address, {"score": "2"}).text
