"""Answering: what a label makes of an item, and who may give it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from labeling.models import Answer, Item, ItemState, Label
from labeling.services import claims, labels
from labeling.services.states import Step, state_after
from tests import factories
from tests.factories import make_session_item as make_item

HTMX = {"HX-Request": "true"}


# the pure part

P, N, U, W = Answer.POSITIVE, Answer.NEGATIVE, Answer.UNDECIDED, Answer.WITHDRAWN


@pytest.mark.parametrize(
    ("history", "state", "outcome"),
    [
        ([], "open", ""),
        ([(1, P, False)], "open", ""),
        ([(1, P, False), (2, P, False)], "settled", "positive"),
        ([(1, N, False), (2, N, True)], "settled", "negative"),
        ([(1, P, False), (2, N, False)], "conflict", ""),
        ([(1, P, False), (2, N, True)], "conflict", ""),  # a senior's blind second answer decides nothing
        ([(1, P, False), (2, N, False), (3, N, True)], "settled", "negative"),
        ([(1, P, False), (2, N, False), (3, U, True)], "settled", "undecided"),
        ([(1, P, False), (2, U, False)], "open", ""),
        ([(1, U, False), (2, U, False)], "settled", "undecided"),
        ([(1, P, False), (2, U, False), (3, P, False)], "settled", "positive"),
        ([(1, P, False), (2, P, False), (1, W, False)], "open", ""),
        ([(1, P, False), (2, N, False), (2, W, False)], "open", ""),
        ([(1, P, False), (2, N, False), (3, N, True), (3, W, True)], "conflict", ""),
        ([(1, P, False), (2, N, False), (3, N, True), (1, W, False)], "settled", "negative"),
    ],
)
def test_the_state_follows_from_the_whole_history(history, state, outcome):
    assert state_after([Step(*step) for step in history], needed=2) == (state, outcome)


steps = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([P, N, U, W]), st.just(False)), max_size=12)


@given(steps)
def test_without_a_senior_differing_answers_are_never_settled(history):
    in_force = {}
    for expert, answer, _senior in history:
        in_force[expert] = answer
    state, outcome = state_after([Step(*step) for step in history], needed=2)
    if {P, N} <= set(in_force.values()):
        assert (state, outcome) == (ItemState.CONFLICT, "")
    elif state == ItemState.SETTLED:
        assert sum(answer == outcome for answer in in_force.values()) >= 2


# the service


@pytest.mark.django_db
class TestSubmit:
    def test_two_equal_answers_settle_an_item(self, item, expert, senior, answer):
        answer(item, expert, "positive", family="SQL injection", authorised=True)
        answer(item, senior, "positive")
        settled = Item.objects.get()
        assert (settled.state, settled.outcome) == (ItemState.SETTLED, "positive")
        assert settled.settled_at is not None
        assert settled.claimed_by is None
        first = Label.objects.first()
        assert (first.family, first.authorised, first.reason_code) == ("SQL injection", True, "")
        assert first.subject_key == item.subject_key

    def test_a_senior_ends_a_conflict(self, item, expert, senior, answer):
        answer(item, expert, "positive")
        answer(item, factories.make_user(), "negative", reason_code="lookalike")
        assert Item.objects.get().state == ItemState.CONFLICT
        answer(item, senior, "negative", reason_code="lookalike")
        assert Item.objects.get().outcome == "negative"

    def test_a_negative_without_a_reason_takes_the_default(self, item, expert, answer):
        answer(item, expert, "negative", family="dropped", authorised=True)
        label = Label.objects.get()
        assert (label.reason_code, label.family, label.authorised) == ("other", "", False)

    def test_a_negative_where_the_model_was_silent_needs_no_reason(self, queue, expert, answer):
        answer(make_item(queue, cell="missed"), expert, "negative")
        assert Label.objects.get().reason_code == ""

    def test_an_unknown_answer_or_reason_is_refused(self, held, expert):
        with pytest.raises(labels.LabelRefused, match="perhaps"):
            labels.submit(held, expert, "perhaps")
        with pytest.raises(labels.LabelRefused, match="mood"):
            labels.submit(held, expert, "negative", reason_code="mood")
        with pytest.raises(labels.LabelRefused):
            labels.submit(held, expert, "withdrawn")
        assert not Label.objects.exists()

    def test_only_the_holder_may_answer(self, held, expert, senior):
        with pytest.raises(labels.NotHolder, match=str(expert)) as refused:
            labels.submit(held, senior, "positive")
        assert refused.value.holder == expert

    def test_an_answer_after_the_lease_counts_while_nobody_else_took_the_item(self, held, expert):
        with time_machine.travel(timezone.now() + timedelta(minutes=30)):
            assert labels.submit(held, expert, "positive").pk

    def test_the_same_expert_cannot_answer_twice(self, held, expert):
        labels.submit(held, expert, "positive")
        Item.objects.update(claimed_by=expert)
        with pytest.raises(labels.LabelRefused, match="already"):
            labels.submit(held, expert, "positive")

    def test_the_time_is_measured_by_the_server(self, held, expert):
        with time_machine.travel(held.opened_at + timedelta(seconds=3.25), tick=False):
            assert labels.submit(held, expert, "positive").milliseconds == 3250

    def test_a_nul_in_a_note_is_made_visible(self, held, expert):
        assert labels.submit(held, expert, "positive", note="a\0b").note == "a\u2400b"


# the page


@pytest.mark.django_db
class TestPage:
    def test_the_answer_carries_the_next_item(self, queue, held, expert_client):
        following = make_item(queue, title="GET other.example/next")
        response = expert_client.post(
            reverse("labeling:submit-label", args=[held.pk]), {"answer": "positive"}, headers=HTMX
        )
        assert response.status_code == 200
        assert reverse("labeling:submit-label", args=[following.pk]) in response.text
        assert "<html" not in response.text
        assert Item.objects.get(pk=following.pk).holder is not None

    def test_one_button_is_answer_and_reason(self, held, expert_client):
        expert_client.post(
            reverse("labeling:submit-label", args=[held.pk]), {"answer": "negative:own-test"}, headers=HTMX
        )
        label = Label.objects.get()
        assert (label.answer, label.reason_code) == ("negative", "own-test")

    def test_details_and_note_are_kept(self, held, expert_client):
        details = {"answer": "positive", "family": "XSS", "authorised": "true", "note": "seen in the drill"}
        expert_client.post(reverse("labeling:submit-label", args=[held.pk]), details, headers=HTMX)
        label = Label.objects.get()
        assert (label.family, label.authorised, label.note) == ("XSS", True, "seen in the drill")

    def test_somebody_who_lost_the_item_is_told_who_holds_it_and_keeps_the_note(self, held, expert, senior_client):
        response = senior_client.post(
            reverse("labeling:submit-label", args=[held.pk]),
            {"answer": "positive", "note": "looks like <b>a scan"},
            headers=HTMX,
        )
        assert response.status_code == 409
        assert f"{expert} holds this item now" in response.text
        assert "looks like &lt;b&gt;a scan" in response.text
        assert not Label.objects.exists()

    def test_nonsense_is_refused_with_422(self, held, expert_client):
        response = expert_client.post(
            reverse("labeling:submit-label", args=[held.pk]), {"answer": "perhaps"}, headers=HTMX
        )
        assert response.status_code == 422
        assert not Label.objects.exists()

    def test_without_htmx_the_answer_leads_to_the_next_page(self, queue, held, expert_client):
        response = expert_client.post(reverse("labeling:submit-label", args=[held.pk]), {"answer": "undecided"})
        assert response.url == reverse("labeling:work", args=[queue.slug])

    @pytest.mark.parametrize("role", ["support", "engineer", "administrator", "auditor"])
    def test_others_may_not_answer(self, held, role, request):
        client = request.getfixturevalue(f"{role}_client")
        assert client.post(reverse("labeling:submit-label", args=[held.pk]), {"answer": "positive"}).status_code == 403
        assert not Label.objects.exists()


@pytest.mark.django_db
def test_a_cycle_of_answer_and_next_item_asks_the_database_little(
    queue, held, expert, expert_client, django_assert_max_num_queries
):
    make_item(queue)
    with django_assert_max_num_queries(26):
        expert_client.post(reverse("labeling:submit-label", args=[held.pk]), {"answer": "positive"}, headers=HTMX)
    assert claims.claim_next(queue, expert) is not None


def test_a_key_that_is_faster_than_htmx_answers_all_the_same(expert):
    """The next item's form is on the page a moment before htmx takes it over: then the browser sends it as it is."""
    first = make_item()
    second = make_item(queue=first.queue)
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(expert)
    page = browser.get(reverse("labeling:work", args=[first.queue.slug]))
    shown = page.context["item"]
    token = browser.cookies["csrftoken"].value
    path = reverse("labeling:submit-label", args=[shown.pk])
    fragment = browser.post(path, {"answer": "positive"}, headers=HTMX | {"X-CSRFToken": token}).content.decode()
    other = second if shown == first else first
    assert reverse("labeling:submit-label", args=[other.pk]) in fragment
    hidden = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', fragment)
    assert hidden
    path = reverse("labeling:submit-label", args=[other.pk])
    assert browser.post(path, {"answer": "positive", "csrfmiddlewaretoken": hidden[1]}).status_code == 302
    assert Label.objects.filter(item=other, expert=expert).exists()
