"""The labelling page: all evidence of one item on one screen."""

from __future__ import annotations

import orjson
import pytest
from django.urls import reverse
from django.utils import timezone

from labeling.models import Item, ItemHost, ItemState
from labeling.services import claims
from tests import factories
from tests.factories import make_row
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db

HIT = {
    "sid": 2013028,
    "gid": 1,
    "rev": 1,
    "signature": "ET POLICY curl User-Agent",
    "category": "Attempted Information Leak",
    "severity": 2,
    "action": "allowed",
    "scope": "flow",
}


def test_work_gives_the_next_item_and_holds_it(queue, item, expert, expert_client):
    response = expert_client.get(reverse("labeling:work", args=[queue.slug]))
    assert response.context["item"] == item
    assert Item.objects.get().holder == expert


def test_all_evidence_stands_on_the_page(queue, expert_client):
    example = make_row(flow_id=2, src_ip="10.1.4.99", uri="/cgi-bin/y.sh?id=2")
    item = make_item(
        queue,
        make_row(hits=[HIT], capture="drill.pcap", referer="http://intranet.example/start"),
        sessions=312,
        hosts=22,
        record={"examples": orjson.dumps([example]).decode()},
    )
    ItemHost.objects.create(item=item, host="10.1.4.22", sessions=290)
    page = expert_client.get(reverse("labeling:work", args=[queue.slug])).text
    for told in (
        "/cgi-bin/x.sh?id=1&#x27; or 1=1--",  # decoded
        "/cgi-bin/x.sh?id=1%27%20or%201=1--",  # as sent
        "2f 63 67 69 2d 62 69 6e",  # hex
        "curl/8.4.0",
        "→ 200",
        "1,532 B",
        "intranet.example/start",
        "2026-03-01 12:00:00 UTC",
        "10.9.0.5",
        "core-1",
        "drill.pcap",
        "ET POLICY curl User-Agent",
        "Attempted Information Leak",
        "on the flow, not on this transaction",
        "rules clean",
        "et-open (26,694 rules)",
        "<strong>312</strong> sessions",
        "<strong>22</strong> hosts",
        "0.9400 ≥ 0.7000",
    ):
        assert told in page, told


def test_keys_follow_the_words_of_the_detector(expert_client):
    detector = factories.make_detector(
        positive_class="ktalk", negative_class="not ktalk", positive_key="k", negative_key="x"
    )
    queue = factories.make_queue(detector=detector)
    make_item(queue)
    page = expert_client.get(reverse("labeling:work", args=[queue.slug])).text
    assert "<kbd>k</kbd> ktalk" in page
    assert "<kbd>x</kbd> not ktalk…" in page
    assert page.count('value="negative:') == 8


def test_an_expert_is_not_shown_the_first_answer(queue, item, senior, expert_client, answer):
    answer(item, senior, "positive", note="clearly a scan", family="SQL injection")
    page = expert_client.get(reverse("labeling:work", args=[queue.slug])).text
    assert "clearly a scan" not in page
    assert "SQL injection</p>" not in page
    assert str(senior) not in page


def test_a_senior_sees_both_answers_of_a_conflict(queue, item, expert, senior_client, answer):
    answer(item, expert, "positive", note="a scan")
    answer(item, factories.make_user(username="petrov"), "negative", reason_code="own-test", note="our own drill")
    page = senior_client.get(reverse("labeling:work", args=[queue.slug])).text
    for told in (str(expert), "a scan", "petrov", "our own drill", "own security test"):
        assert told in page


def test_an_empty_queue_says_what_would_fill_it(queue, expert_client):
    assert "scored and routed" in expert_client.get(reverse("labeling:work", args=[queue.slug])).text


def test_an_exhausted_queue_says_why(queue, item, senior, expert_client):
    claims.claim(item, senior)
    assert "held by others" in expert_client.get(reverse("labeling:work", args=[queue.slug])).text


@pytest.mark.parametrize("role", ["support", "engineer", "administrator", "auditor"])
def test_others_do_not_work_here(queue, role, request):
    client = request.getfixturevalue(f"{role}_client")
    assert client.get(reverse("labeling:work", args=[queue.slug])).status_code == 403


# the same screen, only to look at


def test_an_auditor_reads_an_item_and_its_answers(item, expert, auditor_client, answer):
    answer(item, expert, "positive", note="a scan")
    page = auditor_client.get(reverse("labeling:item", args=[item.pk])).text
    assert "a scan" in page
    assert 'name="answer"' not in page
    assert Item.objects.get().holder is None


def test_looking_at_an_item_does_not_take_it(item, expert_client):
    page = expert_client.get(reverse("labeling:item", args=[item.pk])).text
    assert "Take this item" in page
    assert Item.objects.get().holder is None


def test_a_held_item_names_its_holder(held, expert, senior_client):
    page = senior_client.get(reverse("labeling:item", args=[held.pk])).text
    assert f"{expert} holds this item" in page


def test_a_settled_item_says_its_outcome(queue, auditor_client):
    item = make_item(queue, state=ItemState.SETTLED, outcome="negative", settled_at=timezone.now())
    assert "<strong>negative</strong>" in auditor_client.get(reverse("labeling:item", args=[item.pk])).text


@pytest.mark.parametrize(
    "missing", ["host", "uri", "uri_decoded", "user_agent", "status", "method", "content_type", "src_ip"]
)
def test_a_session_with_missing_fields_can_be_read(queue, expert_client, missing):
    make_item(queue, make_row(**{missing: None}))
    assert expert_client.get(reverse("labeling:work", args=[queue.slug])).status_code == 200


@pytest.mark.parametrize("raw", ["", "no json", "[]", '{"http": []}', '{"http": {"request_headers": {"a": 1}}}', "3"])
def test_a_strange_raw_record_does_not_hurt(queue, expert_client, raw):
    item = make_item(queue, record={"raw": raw})
    assert expert_client.get(reverse("labeling:work", args=[queue.slug])).status_code == 200
    assert expert_client.get(reverse("labeling:raw-record", args=[item.pk])).status_code == 200


def test_the_raw_record_is_readable_and_escaped(queue, auditor_client):
    item = make_item(queue, record={"raw": '{"a":"<script>","b":{"c":"\\u202e"}}'})
    page = auditor_client.get(reverse("labeling:raw-record", args=[item.pk])).text
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "U+202E" in page
    assert page.count("\n") > 3


def test_an_item_that_cannot_be_explained_says_so(item, expert_client):
    """The version's files are gone: the page is of use all the same."""
    response = expert_client.get(reverse("labeling:explanation", args=[item.pk]))
    assert response.status_code == 200
    assert "could not be worked out" in response.text
