"""The daily ten: what the night finds, what the page says, and the second look."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from labeling.models import Contradiction, Item, ItemState, Queue, ReferenceRow
from labeling.services import claims, contradictions, queues, reference
from tests import factories
from tests.factories import make_session_item

pytestmark = pytest.mark.django_db
URL = "labeling:contradictions"


def settled(queue, outcome, shape="s" * 32, **fields):
    """Return an item that experts settled, of one look with others."""
    told = {"state": "settled", "outcome": outcome, "settled_at": timezone.now() - timedelta(days=1), "shape": shape}
    return make_session_item(queue, **told | fields)


def sides(one):
    return [reason["side"] for reason in one.reasons]


def test_experts_who_settled_one_look_in_opposite_ways(queue):
    settled(queue, "positive")
    settled(queue, "positive")
    rarer = settled(queue, "negative")
    settled(queue, "negative", shape="t" * 32)
    assert contradictions.collect() == 1
    one = Contradiction.objects.get()
    assert (one.place, one.shape, one.item, sides(one)) == (1, "s" * 32, rarer, ["experts"])
    assert one.reasons[0]["figures"] == {"positive": 2, "negative": 1}
    assert one.policy == contradictions.POLICY.to_dict()


def test_a_customer_whose_complaint_says_the_opposite_comes_first(queue):
    complaints = factories.make_queue(detector=queue.detector, kind=Queue.Kind.COMPLAINT, slug="c")
    ours = settled(queue, "positive")
    settled(complaints, "negative", cell="uninspected-positive")
    settled(queue, "positive", shape="t" * 32)
    settled(queue, "negative", shape="t" * 32)
    contradictions.collect()
    first, second = Contradiction.objects.order_by("place")
    assert (first.shape, first.item, sides(first)) == ("s" * 32, ours, ["customers", "experts"])
    assert sides(second) == ["experts"]


def test_rules_that_hit_what_experts_call_negative(queue):
    settled(queue, "negative", cell="covered")
    contradictions.collect()
    assert sides(Contradiction.objects.get()) == ["rules"]


def test_a_version_that_is_wrong_on_a_row_of_the_reference_set(queue, expert, senior, answer):
    item = make_session_item(queue)
    for person in (expert, senior):
        answer(item, person, "negative")
    reference.grow()
    row = ReferenceRow.objects.get()
    wrong = {"key": row.subject_key, "score": 0.97, "answer": "negative"}
    report = {"passed": False, "checks": [{"name": "reference", "rows": [wrong]}], "sentence": "", "counts": {}}
    factories.make_gate_report(version=item.version, report=report)
    contradictions.collect()
    one = Contradiction.objects.get()
    assert (sides(one), one.row) == (["versions"], row)
    assert one.strength == pytest.approx(0.97 * contradictions.POLICY.versions)


def test_a_day_is_collected_once_and_what_somebody_saw_to_rests(queue, expert):
    settled(queue, "positive")
    settled(queue, "negative")
    assert contradictions.collect() == 1
    assert contradictions.collect() == 0
    contradictions.ask_again(Contradiction.objects.get(), expert)
    Item.objects.update(state="settled", outcome="negative")
    settled(queue, "positive")
    now = timezone.now()
    assert contradictions.collect(now + timedelta(days=1)) == 0
    assert contradictions.collect(now + timedelta(days=15)) == 1


def test_the_page_tells_who_disagrees(queue, auditor_client):
    settled(queue, "positive")
    settled(queue, "positive")
    item = settled(queue, "negative", title="GET intranet.example/x")
    contradictions.collect()
    page = auditor_client.get(reverse(URL)).text
    assert "experts: 2 × malicious, 1 × benign on one look" in page
    assert reverse("labeling:item", args=[item.pk]) in page
    assert "Ask again" not in page


def test_an_empty_page_says_what_would_fill_it(expert_client):
    assert "Each night" in expert_client.get(reverse(URL)).text


def test_a_case_is_asked_about_again_and_its_row_gates_on(queue, expert, senior, answer, expert_client):
    item = make_session_item(queue, cell="covered")
    for person in (expert, senior):
        answer(item, person, "negative")
    reference.grow()
    contradictions.collect()
    one = Contradiction.objects.get()
    assert reverse("labeling:reference-row", args=[one.row.pk]) in expert_client.get(reverse(URL)).text
    assert expert_client.post(reverse("labeling:ask-again", args=[one.pk])).status_code == 302
    asked = Item.objects.get()
    assert (asked.state, asked.recheck_at is not None) == (ItemState.OPEN, True)
    row = ReferenceRow.objects.gating().get()
    assert row.recheck_since is not None
    assert queues.recount() == 0
    assert AuditEntry.objects.filter(action="contradiction.asked", actor=expert).count() == 1
    assert claims.claim_next(queue, expert) == asked  # who answered before is asked too
    again = expert_client.post(reverse("labeling:ask-again", args=[one.pk]), follow=True)
    assert "asked about already" in again.text


def test_drawn_items_and_complaints_are_not_asked_about_again(queue):
    item = settled(queue, "negative", cell="covered")
    contradictions.collect()
    one = Contradiction.objects.select_related("item__queue").get()
    assert contradictions.may_ask(one)
    Queue.objects.filter(pk=item.queue_id).update(kind=Queue.Kind.COMPLAINT)
    assert not contradictions.may_ask(Contradiction.objects.select_related("item__queue").get())
