"""Undo: an answer is withdrawn by a new row, and its item comes back."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from labeling.models import Item, ItemState, Label
from labeling.services import claims, labels, reference
from tests import factories
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


def test_undo_adds_a_row_and_reopens_the_item(item, expert, senior, answer):
    answer(item, senior, "positive")
    answer(item, expert, "positive")
    withdrawn = labels.undo(expert).label
    assert withdrawn.answer == "withdrawn"
    assert withdrawn.supersedes.answer == "positive"
    reopened = Item.objects.get()
    assert (reopened.state, reopened.outcome, reopened.settled_at) == (ItemState.OPEN, "", None)
    assert Label.objects.count() == 3
    assert [label.expert for label in Label.objects.current()] == [senior]


def test_undo_again_takes_the_answer_before(queue, expert, answer):
    first, second = make_item(queue), make_item(queue)
    answer(first, expert, "positive")
    answer(second, expert, "negative")
    assert [labels.undo(expert).item, labels.undo(expert).item] == [second, first]
    assert labels.undo(expert) is None


def test_a_new_answer_after_undo_continues_the_chain(item, expert, answer):
    answer(item, expert, "positive")
    withdrawn = labels.undo(expert).label
    again = answer(item, expert, "negative")
    assert again.supersedes == withdrawn
    assert [label.answer for label in Label.objects.current()] == ["negative"]


def test_nobody_undoes_the_answers_of_others(item, expert, senior, answer):
    answer(item, senior, "positive")
    assert labels.undo(expert) is None


def test_yesterdays_answers_stay(item, expert, answer):
    answer(item, expert, "positive")
    with time_machine.travel(timezone.now() + labels.UNDO_WITHIN + timedelta(minutes=1)):
        assert labels.undo(expert) is None


def test_undo_leaves_the_item_with_the_one_who_holds_it_now(item, expert, senior, answer):
    answer(item, expert, "positive")
    claims.claim(item, senior)
    labels.undo(expert)
    assert Item.objects.get().holder == senior
    assert labels.submit(item, senior, "positive").pk


def test_an_answer_in_the_reference_set_is_not_undone(item, expert, senior, answer):
    answer(item, senior, "positive")
    answer(item, expert, "positive")
    assert reference.grow() == 1
    with pytest.raises(labels.UndoRefused, match="reference set"):
        labels.undo(expert)
    assert Item.objects.get().state == ItemState.SETTLED


def test_a_settled_item_that_was_not_admitted_can_be_reopened_and_admitted_later(item, expert, senior, answer):
    answer(item, senior, "undecided")
    answer(item, expert, "undecided")
    assert reference.grow() == 0
    labels.undo(expert)
    labels.undo(senior)
    answer(item, senior, "positive")
    answer(item, expert, "positive")
    assert reference.grow() == 1


# the page


def test_the_page_shows_the_reopened_item_and_frees_the_one_on_screen(queue, item, expert, expert_client, answer):
    answer(item, expert, "positive")
    on_screen = make_item(queue)
    claims.claim(on_screen, expert)
    response = expert_client.post(reverse("labeling:undo-label"), {"item": on_screen.pk}, headers=HTMX)
    assert reverse("labeling:submit-label", args=[item.pk]) in response.text
    assert "withdrawn" in response.text
    assert Item.objects.get(pk=on_screen.pk).holder is None
    assert Item.objects.get(pk=item.pk).holder == expert


def test_nothing_to_undo_keeps_the_item_on_screen(held, expert, expert_client):
    response = expert_client.post(reverse("labeling:undo-label"), {"item": held.pk}, headers=HTMX)
    assert response.status_code == 409
    assert "nothing of today to undo" in response.text
    assert reverse("labeling:submit-label", args=[held.pk]) in response.text


def test_a_refusal_says_why(item, expert, expert_client, answer):
    answer(item, factories.make_user(), "positive")
    answer(item, expert, "positive")
    reference.grow()
    response = expert_client.post(reverse("labeling:undo-label"), {"queue": item.queue.slug}, headers=HTMX)
    assert response.status_code == 409
    assert "reference set" in response.text


@pytest.mark.parametrize("nonsense", ["", "x", "9" * 40, "-1"])
def test_nonsense_as_item_does_not_hurt(nonsense, expert_client):
    response = expert_client.post(reverse("labeling:undo-label"), {"item": nonsense}, headers=HTMX)
    assert response.status_code in (302, 409)


@pytest.mark.parametrize("role", ["support", "engineer", "administrator", "auditor"])
def test_others_have_nothing_to_undo(role, request):
    client = request.getfixturevalue(f"{role}_client")
    assert client.post(reverse("labeling:undo-label")).status_code == 403


# one of the last twenty, from the page of one's answers


@pytest.fixture
def twenty_two(queue, expert, answer):
    """Answers of one expert, oldest first."""
    return [answer(make_item(queue), expert, "positive") for _ in range(22)]


def test_any_of_the_last_twenty_can_be_undone_and_no_older_one(twenty_two, expert):
    assert labels.undo(expert, twenty_two[1]) is None
    assert labels.undo(expert, twenty_two[2]).item == twenty_two[2].item
    assert labels.undo(expert, twenty_two[2]) is None  # a second press
    assert labels.undo(expert, twenty_two[1]).item == twenty_two[1].item  # now it is one of twenty


def test_the_page_offers_undo_for_twenty(twenty_two, expert, expert_client, senior_client):
    page = expert_client.get(reverse("labeling:answers")).text
    offered = [label for label in twenty_two if reverse("labeling:undo-one", args=[label.pk]) in page]
    assert offered == twenty_two[2:]
    senior_client.post(reverse("labeling:undo-one", args=[twenty_two[5].pk]))
    assert Label.objects.current().count() == 22
    told = expert_client.post(reverse("labeling:undo-one", args=[twenty_two[5].pk]), follow=True)
    assert "withdrawn" in told.text
    assert Item.objects.get(pk=twenty_two[5].item_id).state == ItemState.OPEN
    assert reverse("labeling:undo-one", args=[twenty_two[5].pk]) not in told.text


def test_the_page_offers_no_undo_of_what_is_in_the_reference_set(item, expert, senior, answer, expert_client):
    answer(item, senior, "positive")
    label = answer(item, expert, "positive")
    reference.grow()
    page = expert_client.get(reverse("labeling:answers")).text
    assert reverse("labeling:undo-one", args=[label.pk]) not in page
    told = expert_client.post(reverse("labeling:undo-one", args=[label.pk]), follow=True).text
    assert "reference set already" in told
