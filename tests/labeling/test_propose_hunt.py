"""A language model proposes a filter from a sentence: only the sentence leaves, and a person runs what comes back."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from detection.filters import parse
from detection.hunt_proposals import LONGEST_FILTER, put_back, told
from labeling.models import HuntProposal
from labeling.services import hunt_proposals, suggestions
from tests import factories
from tests.factories import make_suggestion
from tests.labeling.language_model import says, sends

URL = reverse("labeling:propose-hunt")
SENTENCE = "path traversal from 10.1.4.22 to shop.example"
FILTER = 'src.ip == 192.0.2.1 and dst.dns == "shop.example" and http.url ~ "*../*"'


def writes(text: str):
    return says(json.dumps({"filter": text}))


# the pure part


@given(st.lists(st.ip_addresses(v=4), max_size=9), st.text(max_size=40))
def test_addresses_stay_and_come_back_in_their_places(addresses, word):
    sentence = f"{word} from " + " to ".join(map(str, addresses))
    left = told(sentence[:400], addresses=False)
    assert put_back(left.text, left.addresses) == told(sentence[:400], addresses=True).text


def test_no_address_of_the_sentence_leaves():
    left = told("10.1.4.22 asks fe80::1 and 10.1.4.22/16", addresses=False)
    assert left.text == "192.0.2.1 asks 192.0.2.2 and 192.0.2.1/16"
    assert put_back("src.ip in 192.0.2.1/16 or dst.ip == 192.0.2.9", left.addresses) == (
        "src.ip in 10.1.4.22/16 or dst.ip == 192.0.2.9"
    )


# the loop, with a real server on loopback


pytestmark = pytest.mark.django_db


def test_a_house_that_named_no_model_offers_nothing(expert, expert_client):
    assert "Propose a filter" not in expert_client.get(reverse("labeling:hunt")).text
    assert expert_client.post(URL, {"sentence": SENTENCE}).status_code == 409
    assert not HuntProposal.objects.exists()


def test_a_sentence_becomes_a_filter_that_nobody_has_run(model, expert_client, run_jobs):
    model.answer = writes(FILTER)
    factories.make_detector(name="sealed-detector")
    assert "Propose a filter" in expert_client.get(reverse("labeling:hunt")).text
    waiting = expert_client.post(URL, {"sentence": SENTENCE}).text
    made = HuntProposal.objects.get()
    url = reverse("labeling:hunt-proposal", args=[made.pk])
    assert f'hx-get="{url}"' in waiting
    run_jobs()
    made.refresh_from_db()
    assert made.filter == FILTER.replace("192.0.2.1", "10.1.4.22")
    parse(made.filter)
    page = expert_client.get(url).text
    assert "data-proposal=" in page
    assert "hx-get" not in page
    [asked] = model.asked
    assert "192.0.2.1" in asked["messages"][1]["content"]
    sent = json.dumps(asked)
    assert "10.1.4.22" not in sent
    assert "sealed-detector" not in sent
    assert "http.user_agent" in sent


def test_a_word_that_no_field_has_is_shown_where_it_stands(model, expert_client, run_jobs):
    model.answer = writes('http.mood == "<b>bad</b>"')
    expert_client.post(URL, {"sentence": "bad mood"})
    run_jobs()
    page = expert_client.get(reverse("labeling:hunt-proposal", args=[HuntProposal.objects.get().pk])).text
    assert "http.mood" in page
    assert 'role="alert"' in page
    assert "<b>bad" not in page


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (sends(b"no", 500), "HTTP 500"),
        (says("DROP TABLE"), "no JSON object"),
        (says('{"filter": 3}'), "another object than was asked for"),
        (says('{"filter": "a", "filter": "b"}'), "a name twice"),
        (writes("x" * (LONGEST_FILTER + 1)), "a filter of 2,001 characters"),
        (writes(""), ""),
    ],
    ids=["status", "prose", "number", "twice", "long", "empty"],
)
def test_what_is_no_filter_is_told_and_goes_nowhere(model, expert_client, run_jobs, answer, error):
    model.answer = answer
    expert_client.post(URL, {"sentence": SENTENCE})
    run_jobs()
    made = HuntProposal.objects.get()
    assert (made.filter, made.error) == ("", error)
    page = expert_client.get(reverse("labeling:hunt-proposal", args=[made.pk])).text
    assert "data-proposal" not in page
    assert (error or "It knows no filter") in page


def test_questions_share_the_budget_of_the_day(model, settings, expert_client):
    settings.ETALON_SUGGESTIONS_PER_DAY = 2
    make_suggestion()
    assert expert_client.post(URL, {"sentence": SENTENCE}).status_code == 200
    assert suggestions.left_today() == 0
    assert expert_client.post(URL, {"sentence": SENTENCE}).status_code == 409


@pytest.mark.parametrize("sentence", ["", "   ", "x" * 501])
def test_a_sentence_that_is_none_is_refused(model, expert, sentence):
    with pytest.raises(hunt_proposals.ProposalRefused):
        hunt_proposals.ask(sentence, expert)


def test_somebody_elses_question_is_not_shown(model, expert_client, senior):
    asked = hunt_proposals.ask(SENTENCE, senior)
    assert expert_client.get(reverse("labeling:hunt-proposal", args=[asked.pk])).status_code == 404


def test_who_only_reads_asks_nothing(model, auditor_client):
    assert "Propose a filter" not in auditor_client.get(reverse("labeling:hunt")).text
    assert auditor_client.post(URL, {"sentence": SENTENCE}).status_code == 403
