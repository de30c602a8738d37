"""Ten customers with the same look are one case: one question, one fix, ten answers. What is known is said at once."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from labeling.models import Item, ReferenceRow
from labeling.services import claims, labels
from models_registry.models import Bundle, Publication
from tests.factories import agree_on, make_customer
from tests.feeds import make_publication
from tests.models_registry.loop import http
from tests.triage.conftest import build
from tests.triage.test_complaint import next_version
from triage.models import Complaint
from triage.services import complaints, filing
from triage.services.filing import Details

pytestmark = pytest.mark.django_db


def record(number: int = 1) -> str:
    """Return a session of one look, as each customer sees it."""
    return json.dumps(http(number, f"/?id={number}' union select 1,2--"))


def states(complaint: Complaint) -> list[str]:
    return list(complaint.states.values_list("state", flat=True))


def answer(item: Item, expert, said: str = "negative") -> None:
    claims.claim(item, expert)
    labels.submit(item, expert, said, note="why")
    complaints.collect()


def test_one_question_is_asked_for_all_of_them_and_each_is_answered(loud, support, expert, engineer):
    ten = [filing.file(make_customer(), record(n), "x", support) for n in range(1, 11)]
    item = Item.objects.get()
    assert item.complaint_item.customer.count(",") >= 2
    answer(item, expert)
    assert {one.states.last().state for one in ten} == {"confirmed"}
    assert ReferenceRow.objects.get().role == "regression"
    bundle = build(loud, silent=True)
    assert complaints.follow() == 10
    make_publication(bundle=bundle)
    assert complaints.follow() == 10
    for one in ten:
        one.refresh_from_db()
        complaints.tell(one, f"{one.number} is fixed.", support)
    assert Complaint.objects.unanswered().count() == 0
    assert {one.messages.last().text for one in ten} == {f"{one.number} is fixed." for one in ten}


def test_the_earliest_deadline_of_a_case_is_its_items(loud, support):
    filing.file(make_customer(), record(), "x", support)
    early = Details(received_at=timezone.now() - timedelta(hours=9))
    second = filing.file(make_customer(), record(2), "x", support, early)
    assert Item.objects.get().complaint_item.due_at == second.deadline.due_at


def test_known_and_being_fixed_is_answered_at_once(loud, support, expert):
    first = filing.file(make_customer(), record(), "x", support)
    answer(Item.objects.get(), expert)
    next_version(loud, threshold=0.9999999)
    complaints.follow()
    second = filing.file(make_customer(), record(2), "x", support)
    assert states(second) == ["received", "reproduced", "confirmed", "fix-in-candidate"]
    assert first.number in second.states.get(state="confirmed").reason
    assert Item.objects.count() == 1


def test_already_fixed_in_a_bundle_is_answered_at_once(loud, support, expert):
    old = Bundle.objects.get()
    filing.file(make_customer(), record(), "x", support)
    answer(Item.objects.get(), expert)
    fixed = build(loud, silent=True)
    make_publication(bundle=fixed)
    complaints.follow()
    second = filing.file(make_customer(), record(2), "x", support, Details(bundle=old))
    assert states(second)[-2:] == ["fixed-in-bundle", "published"]
    assert second.states.get(state="published").bundle == fixed
    assert second.reading.state == "met"  # it was there before he asked


def test_a_look_that_comes_back_after_its_fix_is_asked_about_anew(loud, support, expert):
    filing.file(make_customer(), record(), "x", support)
    answer(Item.objects.get(), expert)
    build(loud, silent=True)
    complaints.follow()
    agree_on(loud, loud.threshold + 1e-9)
    back = build(loud, threshold=loud.threshold + 1e-9)
    again = filing.file(make_customer(), record(2), "x", support, Details(bundle=back))
    assert states(again) == ["received", "reproduced"]
    assert Item.objects.count() == 2


def test_a_rejected_look_is_asked_about_again(loud, support, expert):
    filing.file(make_customer(), record(), "x", support)
    answer(Item.objects.get(), expert, "positive")
    again = filing.file(make_customer(), record(2), "x", support)
    assert states(again) == ["received", "reproduced"]
    assert Item.objects.count() == 2


def test_the_clock_stops_when_it_was_published_and_not_when_somebody_looked(loud, support, expert):
    customer = make_customer()
    complaint = filing.file(customer, record(), "x", support)
    answer(Item.objects.get(), expert)
    bundle = build(loud, silent=True)
    complaints.follow()
    Publication.objects.create(bundle=bundle, channel="customer", customer=make_customer())
    assert complaints.follow() == 0  # another customer's channel is not his
    told = make_publication(bundle=bundle, channel="customer", customer=customer)
    with time_machine.travel(timezone.now() + timedelta(hours=30)):
        assert complaints.follow() == 1
    complaint.deadline.refresh_from_db()
    assert complaint.deadline.stopped_at == told.published_at
    assert complaint.deadline.reading().state == "met"
    assert not complaint.deadline.notices.exists()


def test_where_nothing_came_nobody_looks_again(loud, support, expert, django_assert_max_num_queries):
    for number in range(1, 6):
        filing.file(make_customer(), record(number), "x", support)
    answer(Item.objects.get(), expert)
    assert complaints.follow() == 0
    with django_assert_max_num_queries(4):  # however many wait
        assert complaints.follow() == 0
    next_version(loud, threshold=0.9999999)
    assert complaints.follow() == 5


def test_a_newer_bundle_that_does_not_flag_it_is_named_before_anybody_decides(loud, support, support_client):
    old = Bundle.objects.get()
    complaint = filing.file(make_customer(), record(), "x", support, Details(bundle=old))
    page = f"/complaints/{complaint.pk}/"
    assert "does not flag it any more" not in support_client.get(page).text
    make_publication(bundle=build(loud, silent=True))
    assert "does not flag it any more" in support_client.get(page).text
