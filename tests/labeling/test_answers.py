"""An expert's own answers of the week: what became of them, which version knows them, which bundle ships it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from labeling.models import Label, ReferenceRow
from labeling.services import outcomes
from models_registry.models import BundleEntry
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue():
    """A queue of a detector with one version, frozen before any answer."""
    queue = factories.make_queue(detector=factories.make_detector(name="ktalk"))
    version_of(queue, days=30)
    return queue


def answered(expert, queue, answer, *, outcome=None, days=0, cell="unique", **fields):
    """Return the answer of an expert to an item that was settled by it."""
    settled = {"state": "settled", "outcome": outcome or answer, "settled_at": timezone.now()}
    version = queue.detector.versions.first()
    item = factories.make_item(queue=queue, version=version, cell=cell, **settled | fields)
    at = timezone.now() - timedelta(days=days)
    shared = {"item": item, "detector": queue.detector, "subject_kind": "session", "subject_key": item.subject_key}
    return Label.objects.create(expert=expert, answer=answer, created_at=at, **shared)


def admitted(label, role="regression", days=0.0):
    item = label.item
    row = ReferenceRow.objects.create(
        detector=label.detector,
        item=item,
        subject_key=item.subject_key,
        answer=label.answer,
        rule_hit=False,
        role=role,
        shape=item.shape,
        fingerprint=item.fingerprint,
        host="10.0.0.1",
        day=timezone.now().date(),
        row="{}",
        admitted_at=timezone.now() - timedelta(days=days),
    )
    row.labels.add(label)
    return row


def version_of(queue, days=0.0, **fields):
    """Return a version whose rows were frozen so many days ago."""
    frozen = timezone.now() - timedelta(days=days)
    frozen_rows = factories.make_training_set(detector=queue.detector, frozen_at=frozen)
    return factories.make_version(detector=queue.detector, training_set=frozen_rows, **fields)


def gated(version, wrong=()):
    checks = [{"name": "reference", "rows": [{"key": row.subject_key} for row in wrong]}]
    return factories.make_gate_report(version=version, report={"checks": checks, "sentence": "may leave"})


def test_the_week_counts_what_ones_own_answers_became(expert, queue):
    answered(expert, queue, "positive")
    answered(expert, queue, "positive", cell="covered")  # rules have it too
    answered(expert, queue, "negative")
    answered(expert, queue, "negative", cell="missed")  # the model said nothing
    answered(expert, queue, "positive", outcome="negative")  # a senior decided otherwise
    answered(expert, queue, "positive", days=8)
    answered(factories.make_user(), queue, "positive")
    week = outcomes.week(expert)
    assert (week.labels, week.unique, week.false_positives) == (5, 1, 1)


def test_a_proof_item_is_told_only_when_its_answer_stands(expert, queue):
    proof = factories.make_queue(detector=queue.detector, kind="proof", slug="drawn")
    answered(expert, proof, "positive")
    assert outcomes.week(expert).unique == 0
    answered(expert, proof, "positive", settled_at=timezone.now() - timedelta(hours=13))
    assert outcomes.week(expert).unique == 1


def test_a_version_knows_what_was_admitted_before_its_freeze(expert, queue):
    for days in (3, 1):
        admitted(answered(expert, queue, "positive"), days=days)
    admitted(answered(expert, queue, "positive"), role="forward", days=3)  # stays out of training and gate
    answered(expert, queue, "positive")  # never admitted
    version = version_of(queue, days=2)
    [reach] = outcomes.week(expert).reaches
    assert (reach.version, reach.known, reach.bundle) == (version, 1, None)


def test_the_newest_bundle_says_how_many_it_ships(expert, queue):
    admitted(answered(expert, queue, "positive"), days=5)
    admitted(answered(expert, queue, "positive"), days=3)
    shipped, newest = version_of(queue, days=4), version_of(queue, days=1)
    bundle = factories.make_bundle()
    BundleEntry.objects.create(bundle=bundle, version=shipped, threshold=0.5, is_silent=True)
    [reach] = outcomes.week(expert).reaches
    assert (reach.version, reach.known) == (newest, 2)
    assert (reach.bundle, reach.shipped) == (bundle, 1)


def test_fixed_is_what_the_gate_asked_and_did_not_find_wrong(expert, queue):
    rows = [admitted(answered(expert, queue, "negative"), days=3) for _ in range(3)]
    version = version_of(queue, days=2)
    assert outcomes.week(expert).reaches[0].fixed == 0  # nobody asked yet
    gated(version, wrong=rows[:1])
    admitted(answered(expert, queue, "negative"), days=-1)  # later than the snapshot
    assert outcomes.week(expert).reaches[0].fixed == 2


def test_false_positives_of_a_version_are_those_it_flagged_itself(queue, expert):
    silent = version_of(queue)
    scores = '[{"version": %d, "verdict": %s}]'
    for verdict, outcome in (("true", "negative"), ("false", "negative"), ("true", "positive")):
        record = {"scores": scores % (silent.number, verdict)}
        answered(expert, queue, outcome, record=record)
    since = timezone.now() - timedelta(days=1)
    assert outcomes.false_positives(silent, since) == 1
    assert outcomes.false_positives(silent, timezone.now() + timedelta(days=1)) == 0


# the page


def page_of(client, **query):
    return client.get(reverse("labeling:answers"), query).text


def test_without_answers_it_leads_to_the_queues(expert_client):
    assert reverse("labeling:queues") in page_of(expert_client)


def test_it_names_outcome_role_version_and_bundle(expert_client, expert, queue):
    admitted(answered(expert, queue, "positive"), days=3)
    version = version_of(queue, days=2)
    bundle = factories.make_bundle()
    BundleEntry.objects.create(bundle=bundle, version=version, threshold=0.5, is_silent=True)
    page = page_of(expert_client)
    for expected in ("unique detect", "regression", str(version), str(bundle)):
        assert expected in page


def test_answers_of_others_are_not_on_it(expert_client, queue):
    label = answered(factories.make_user(), queue, "positive")
    assert label.item.title not in page_of(expert_client)


def test_kinds_and_versions_narrow_it(expert_client, expert, queue):
    unique = admitted(answered(expert, queue, "positive"), days=3)
    wrong = answered(expert, queue, "negative")
    version = version_of(queue, days=2)
    assert wrong.item.title not in page_of(expert_client, found="unique")
    assert unique.item.title not in page_of(expert_client, found="false-positive")
    assert wrong.item.title in page_of(expert_client, found="false-positive")
    assert wrong.item.title not in page_of(expert_client, version=version.pk)
    assert unique.item.title in page_of(expert_client, version=version.pk)
    assert expert_client.get(reverse("labeling:answers"), {"version": version.pk + 1}).status_code == 404


def test_a_fresh_proof_answer_is_told_later(expert_client, expert, queue):
    proof = factories.make_queue(detector=queue.detector, kind="proof", slug="drawn")
    answered(expert, proof, "positive")
    page = page_of(expert_client)
    assert "told later" in page
    assert "badge--unique" not in page


def test_it_is_paged_by_key(expert_client, expert, queue, monkeypatch):
    monkeypatch.setattr(outcomes, "PAGE", 2)
    titles = [answered(expert, queue, "positive").item.title for _ in range(5)]
    first = page_of(expert_client)
    assert titles[4] in first
    assert titles[2] not in first
    [before] = re.findall(r"before=(\d+)", first)
    second = page_of(expert_client, before=before)
    assert titles[2] in second
    assert titles[4] not in second


def test_it_costs_the_same_queries_for_many_answers(expert_client, expert, queue, django_assert_max_num_queries):
    version_of(queue)
    for _ in range(30):
        admitted(answered(expert, queue, "positive"), days=1)
    with django_assert_max_num_queries(15):
        page_of(expert_client)
