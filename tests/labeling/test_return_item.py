"""A disputed item goes back to those whose answers differ, with a question, once."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.roles import Role
from labeling.models import Adjudication, Answer, AskedAgain, Item, ItemState, Label, Question
from labeling.services import claims, conflicts, labels, queues
from labeling.services.details import LabelRefused
from tests import factories
from tests.factories import make_proof_item

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
ASKED = "Is 10.1.4.22 our scanner?"


@pytest.fixture
def petrov(db):
    return factories.make_user(username="petrov")


@pytest.fixture
def disputed(item, expert, petrov, senior, answer):
    """An item that `expert` finds positive and petrov negative, held by the senior."""
    answer(item, expert, "positive", note="a scan")
    answer(item, petrov, "negative", note="our own drill")
    assert claims.claim(Item.objects.get(), senior)
    return Item.objects.get()


@pytest.fixture
def returned(disputed, senior):
    conflicts.return_item(disputed, senior, ASKED)
    return Item.objects.get()


def test_a_senior_returns_it_on_the_page_and_goes_on(disputed, senior_client):
    url = reverse("labeling:return-item", args=[disputed.pk])
    response = senior_client.post(url, {"question": ASKED}, headers=HTMX)
    assert response.status_code == 200
    assert "Nothing waits for you here" in response.text
    item = Item.objects.get()
    assert (item.state, item.claimed_by) == (ItemState.RETURNED, None)
    assert item.disputed_at is not None
    assert Question.objects.get().text == ASKED
    assert queues.recount() == 0


def test_a_question_has_words(disputed, senior_client):
    response = senior_client.post(reverse("labeling:return-item", args=[disputed.pk]), {"question": " "}, headers=HTMX)
    assert response.status_code == 409
    assert Item.objects.get().state == ItemState.CONFLICT


def test_nobody_but_those_two_is_given_it(returned, queue, expert, petrov):
    other = factories.make_user()
    assert claims.claim_next(queue, other, arriving=True) is None
    assert not claims.claim(returned, other)
    for one in (expert, petrov):
        assert claims.claim_next(queue, one, arriving=True) == returned
        claims.release(Item.objects.get(), one)


def test_who_arrives_gets_the_question_first_and_who_works_gets_it_last(returned, queue, expert):
    fresh = factories.make_session_item(queue)
    assert claims.claim_next(queue, expert) == fresh
    claims.release(fresh, expert)
    assert claims.claim_next(queue, expert, arriving=True) == returned


def test_who_is_asked_reads_the_question_and_his_own_answer(returned, queue, senior, expert_client):
    page = expert_client.get(reverse("labeling:work", args=[queue.slug])).text
    assert "Is 10.1.4.22 our scanner?" in page
    assert str(senior) in page
    assert "a scan" in page
    assert "our own drill" not in page
    assert "petrov" not in page


def test_it_settles_when_both_agree_and_the_first_answers_stay_on_record(returned, expert, petrov, answer):
    again = answer(returned, expert, "negative")
    assert Item.objects.get().state == ItemState.SETTLED
    assert again.supersedes.answer == "positive"
    assert Label.objects.count() == 3
    assert not Adjudication.objects.exists()


def test_it_waits_for_both_and_becomes_a_conflict_again_when_neither_yields(returned, expert, petrov, senior, answer):
    answer(returned, expert, "positive")
    assert Item.objects.get().state == ItemState.RETURNED
    answer(Item.objects.get(), petrov, "negative")
    item = Item.objects.get()
    assert item.state == ItemState.CONFLICT
    assert queues.recount() == 0
    assert claims.claim(item, senior)
    with pytest.raises(LabelRefused, match="once already"):
        conflicts.return_item(item, senior, "Really?")
    labels.submit(item, senior, "negative")
    assert Item.objects.get().state == ItemState.SETTLED


def test_a_senior_may_decide_while_nobody_answers(returned, senior, answer):
    answer(returned, senior, "negative")
    assert Item.objects.get().outcome == "negative"
    assert Adjudication.objects.count() == 1
    assert not AskedAgain.objects.waiting().exists()


def test_a_second_thought_can_be_taken_back(returned, expert, answer):
    answer(returned, expert, "positive")
    assert labels.undo(expert) is not None
    assert Item.objects.get().state == ItemState.RETURNED
    assert conflicts.is_asked(Item.objects.get(), expert)
    answer(Item.objects.get(), expert, "negative")
    assert Item.objects.get().outcome == "negative"
    assert Label.objects.filter(answer=Answer.WITHDRAWN).count() == 1


def test_only_who_holds_it_returns_it_and_only_with_no_part_in_it(disputed, expert):
    with pytest.raises(LabelRefused, match="hold"):
        conflicts.return_item(disputed, factories.make_user(Role.SENIOR), ASKED)
    Item.objects.update(claimed_by=expert)
    with pytest.raises(LabelRefused, match="senior"):
        conflicts.return_item(Item.objects.get(), expert, ASKED)


def test_a_drawn_item_is_not_returned(expert, petrov, senior, answer):
    item = make_proof_item(labels_needed=2)
    answer(item, expert, "positive")
    answer(item, petrov, "negative")
    assert claims.claim(Item.objects.get(), senior)
    with pytest.raises(LabelRefused, match="apart"):
        conflicts.return_item(Item.objects.get(), senior, ASKED)


def test_those_who_left_are_not_asked(disputed, expert, petrov, senior):
    for person in (expert, petrov):
        person.is_active = False
        person.save()
    with pytest.raises(LabelRefused, match="decide yourself"):
        conflicts.return_item(disputed, senior, ASKED)


def test_the_page_of_conflicts_lists_what_was_returned(returned, senior_client):
    page = senior_client.get(reverse("labeling:conflicts") + "?state=returned").text
    assert returned.title in page
    assert "returned with a question" in page
