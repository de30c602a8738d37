"""Answers that differ: who sees what, who decides, and what the decision counts as."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from accounts.roles import Role
from labeling.models import Adjudication, Item, ItemState, Label
from labeling.services import claims, conflicts, details, labels, queues
from tests import factories
from tests.factories import make_proof_item, make_session_item

pytestmark = pytest.mark.django_db
URL = "labeling:conflicts"


@pytest.fixture
def petrov(db):
    return factories.make_user(username="petrov")


@pytest.fixture
def disputed(item, expert, petrov, answer):
    """An item that `expert` finds positive and petrov negative."""
    answer(item, expert, "positive", note="a scan", family="SQL injection")
    answer(item, petrov, "negative", reason_code="own-test", note="our own drill")
    return Item.objects.get()


def test_the_page_lists_conflicts_the_longest_first(queue, expert, petrov, senior_client, answer):
    for number, hours in enumerate((5, 1, 3)):
        with time_machine.travel(timezone.now() - timedelta(hours=hours), tick=False):
            item = make_session_item(queue, title=f"GET intranet.example/{number}")
            answer(item, expert, "positive")
            answer(item, petrov, "negative")
    response = senior_client.get(reverse(URL))
    titles = [dispute.item.title[-1] for dispute in response.context["page"].disputes]
    assert titles == ["0", "2", "1"]
    for told in (str(expert), "petrov", "to be decided", "malicious"):
        assert told in response.text


def test_pages_of_conflicts_follow_each_other_by_key(queue, expert, petrov, senior, answer, monkeypatch):
    monkeypatch.setattr(conflicts, "PAGE", 2)
    for number in range(5):
        with time_machine.travel(timezone.now() - timedelta(hours=number // 2), tick=False):
            item = make_session_item(queue)
            answer(item, expert, "positive")
            answer(item, petrov, "negative")
    seen, after = [], ""
    while True:
        page = conflicts.page(senior, after=after)
        seen += [dispute.item.pk for dispute in page.disputes]
        if not (after := page.after):
            break
    assert sorted(seen) == sorted(Item.objects.values_list("pk", flat=True))
    assert page.conflicts == 5


@pytest.mark.parametrize("role", ["expert", "engineer", "support"])
def test_conflicts_are_not_everybodys(role, request):
    assert request.getfixturevalue(f"{role}_client").get(reverse(URL)).status_code == 403


def test_a_senior_sees_both_answers_side_by_side_with_all_that_belongs_to_them(disputed, senior_client):
    page = senior_client.get(reverse("labeling:work", args=[disputed.queue.slug])).text
    for told in ("petrov", "a scan", "SQL injection", "our own drill", "own security test", "answered in 0."):
        assert told in page, told
    assert "Return with this question" in page


def test_the_decision_is_marked_and_settles(disputed, senior, answer):
    since = Item.objects.get().disputed_at
    assert since is not None
    label = answer(disputed, senior, "negative", reason_code="own-test")
    decided = Item.objects.get()
    assert (decided.state, decided.outcome, decided.disputed_at) == (ItemState.SETTLED, "negative", None)
    between = list(Label.objects.exclude(pk=label.pk).order_by("pk").values_list("pk", flat=True))
    assert Adjudication.objects.get().label == label
    assert Adjudication.objects.get().between == between
    assert Adjudication.objects.count() == 1


def test_an_ordinary_answer_is_no_decision(item, expert, senior, answer):
    answer(item, expert, "positive")
    answer(item, senior, "positive")
    assert not Adjudication.objects.exists()


def test_who_has_a_part_does_not_decide_even_after_withdrawing(queue, expert, petrov, answer):
    party = factories.make_user(Role.SENIOR)
    item = make_session_item(queue, labels_needed=3)
    answer(item, party, "positive")
    answer(item, expert, "positive")
    answer(item, petrov, "negative")
    assert claims.claim_next(queue, party) is None
    labels.undo(party)
    assert Item.objects.get().state == ItemState.CONFLICT
    assert claims.claim_next(queue, party) is None
    assert not claims.claim(Item.objects.get(), party)
    Item.objects.update(claimed_by=party)
    with pytest.raises(details.LabelRefused, match="another senior"):
        labels.submit(Item.objects.get(), party, "negative")


def test_a_senior_who_takes_his_decision_back_may_decide_again(disputed, senior, answer):
    answer(disputed, senior, "negative")
    labels.undo(senior)
    assert Item.objects.get().state == ItemState.CONFLICT
    answer(Item.objects.get(), senior, "positive")
    assert Item.objects.get().outcome == "positive"
    assert Adjudication.objects.count() == 2


def test_those_who_differ_do_not_read_each_other(disputed, expert_client):
    page = expert_client.get(reverse("labeling:item", args=[disputed.pk])).text
    assert "a scan" in page  # his own
    assert "our own drill" not in page


def test_a_drawn_item_is_decided_blind(expert, petrov, senior, senior_client, answer):
    item = make_proof_item(labels_needed=2)
    answer(item, expert, "positive", note="a scan")
    answer(item, petrov, "negative", note="our own drill")
    listed = senior_client.get(reverse(URL)).text
    assert "you answer apart" in listed
    assert "petrov" not in listed
    page = senior_client.get(reverse("labeling:work", args=[item.queue.slug])).text
    for hidden in ("a scan", "our own drill", "petrov", "Return with this question", "differ"):
        assert hidden not in page, hidden
    labels.submit(Item.objects.get(), senior, "negative")
    assert Item.objects.get().outcome == "negative"
    assert Adjudication.objects.count() == 1


def test_counts_of_queues_stay_right(disputed, senior, answer):
    assert queues.recount() == 0
    answer(disputed, senior, "negative")
    assert queues.recount() == 0
