"""People as the demo plays them: they read pages, press buttons, and know no more than the raw record tells."""

from __future__ import annotations

import random
from datetime import timedelta

import orjson
import pytest
from django.urls import reverse

from accounts.roles import Role
from config.demo import world
from config.demo.experts import Colleague, NotAsExpected, Page, Visitor, opinion
from labeling.models import Item, Label, Queue
from tests import factories
from traffic.simulator import Simulation


@pytest.fixture(scope="module")
def network() -> Simulation:
    return world.everyday(1)


@pytest.fixture(scope="module")
def records(network):
    """Http records of a quarter of an hour, with the truth about them."""
    start = network.parameters.begins + timedelta(hours=8)
    lines = [orjson.loads(line) for line in network.lines(start, start + timedelta(minutes=15))]
    return [(one, world.truth_of(one, [network])) for one in lines if one["event_type"] == "http"]


def make_item(record, queue):
    return factories.make_session_item(queue, record={"raw": orjson.dumps(record).decode()})


@pytest.fixture
def queue(db) -> Queue:
    detector = factories.make_detector(name="http-attacks")
    return factories.make_queue(detector=detector, slug="http-attacks-unique")


def colleague(network, **fields) -> Colleague:
    user = factories.make_user(fields.pop("role", Role.EXPERT))
    return Colleague(user, **{"errors": 0.0, "unsure": 0.0, "simulations": [network]} | fields)


# what they know


def test_the_truth_is_found_by_the_record_alone(records):
    assert all(truth is not None for _record, truth in records)
    assert {truth.is_attack for _record, truth in records} == {True, False}


def test_a_record_of_another_time_has_no_truth(network, records):
    record, _truth = records[0]
    assert world.truth_of(record | {"timestamp": "2020-01-01T00:00:00.000000+0000"}, [network]) is None
    assert world.truth_of({}, [network]) is None


def test_they_err_at_the_stated_rate(records):
    told = [opinion(t, "http-attacks", random.Random(n), errors=0.1, unsure=0.05) for n, (_r, t) in enumerate(records)]
    assert sum(one.is_mistake for one in told) / len(told) == pytest.approx(0.1, abs=0.03)
    assert sum(one.answer == "undecided" for one in told) / len(told) == pytest.approx(0.05, abs=0.02)


def test_who_never_errs_is_right(records):
    for _record, truth in records:
        said = opinion(truth, "http-attacks", random.Random(1), errors=0.0, unsure=0.0)
        assert (said.answer == "positive") is truth.is_attack
        assert not said.is_mistake


def test_a_narrow_detector_asks_a_narrow_question(records):
    for _record, truth in records:
        said = opinion(truth, "malware-beacons", random.Random(1), errors=0.0, unsure=0.0)
        assert (said.answer == "positive") is (truth.family == "c2")


def test_a_session_nobody_made_and_a_question_nobody_knows_cannot_be_told(records):
    assert opinion(None, "http-attacks", random.Random(1), errors=0.0, unsure=0.0).answer == "undecided"
    assert opinion(records[0][1], "something-else", random.Random(1), errors=0.0, unsure=0.0).answer == "undecided"


# what they do


def test_an_answer_goes_through_a_claim_and_the_page(network, records, queue):
    attack = next(record for record, truth in records if truth.is_attack)
    item = make_item(attack, queue)
    one = colleague(network)
    assert one.answer_one() is True
    label = Label.objects.get()
    assert (label.item_id, label.expert, label.answer) == (item.pk, one.visitor.user, "positive")
    assert label.milliseconds is not None  # measured from the claim
    assert Item.objects.get(pk=item.pk).claimed_by is None
    assert one.answer_one() is False  # his word is given; the second is another's
    assert colleague(network).answer_one() is True
    assert Item.objects.get(pk=item.pk).outcome == "positive"


def test_a_wrong_verdict_gets_a_reason(network, records, queue):
    harmless = next(record for record, truth in records if not truth.is_attack)
    make_item(harmless, queue)
    assert colleague(network).answer_one() is True
    label = Label.objects.get()
    assert label.answer == "negative"
    assert label.reason_code in ("lookalike", "other")


def test_they_keep_to_the_queues_they_are_asked_for(network, records, queue):
    make_item(records[0][0], queue)
    assert colleague(network).answer_one(["proof"]) is False
    assert colleague(network).answer_one(["unique"], "another-detector") is False
    assert colleague(network).answer_one(["unique"], "http-attacks") is True


def test_a_blind_item_is_answered_too(db, network, records):
    detector = factories.make_detector(name="http-attacks")
    queue = factories.make_queue(detector=detector, kind=Queue.Kind.PROOF, slug="http-attacks-proof")
    record, truth = records[0]
    factories.make_proof_item(queue, record={"raw": orjson.dumps(record).decode()})
    assert colleague(network).answer_one() is True
    assert Label.objects.get().answer == ("positive" if truth.is_attack else "negative")


def test_a_conflict_is_the_seniors(network, records, queue):
    item = make_item(records[0][0], queue)
    assert colleague(network).answer_one()
    assert colleague(network, errors=1.0).answer_one()
    assert Item.objects.get(pk=item.pk).state == "conflict"
    assert colleague(network).answer_one() is False
    assert colleague(network, role=Role.SENIOR).answer_one() is True
    assert Item.objects.get(pk=item.pk).state == "settled"


def test_the_same_seed_gives_the_same_answers(network, records, queue):
    for record, _truth in records[:8]:
        make_item(record, queue)
    one = colleague(network, errors=0.5)
    while one.answer_one():
        pass
    first = list(Label.objects.order_by("item").values_list("answer", flat=True))
    again = [
        opinion(
            truth,
            "http-attacks",
            random.Random(f"3|{one.visitor.user}|{record['flow_id']}|{record['tx_id']}|{record['timestamp']}"),
            errors=0.5,
            unsure=0.0,
        ).answer
        for record, truth in records[:8]
    ]
    assert first == again


def test_who_may_not_is_told_where(db):
    with pytest.raises(NotAsExpected, match=r"GET /complaints/new/ as expert.*: 403, not 200"):
        Visitor(factories.make_user(Role.EXPERT)).get(reverse("triage:file-complaint"))


def test_a_form_that_is_not_on_the_page_cannot_be_sent(db):
    visitor = Visitor(factories.make_user(Role.AUDITOR))
    page = visitor.get(reverse("triage:customers"))
    with pytest.raises(NotAsExpected, match="offers no form for /customers/new/"):
        visitor.send(page, reverse("models_registry:create-customer"), name="ACME")


def test_a_form_needs_the_token_of_its_page(db):
    visitor = Visitor(factories.make_user(Role.ENGINEER))
    page = visitor.get(reverse("triage:customers"))
    form = page.form(reverse("models_registry:create-customer"))
    assert form.hidden.pop("csrfmiddlewaretoken")
    with pytest.raises(NotAsExpected, match="403, not 302"):
        visitor.send(page, reverse("models_registry:create-customer"), name="ACME")


def test_a_page_is_read_as_a_browser_without_scripts_would():
    page = Page(
        "/here/",
        """<form method="post"><input type="hidden" name="token" value="a&amp;b"><button name="answer" value="yes">
        </button><button type="button" name="no" value="no"></button></form><a href="/there/">x</a>
        <form hx-post="/elsewhere/"><input type="hidden" name="x"></form>
        <pre id="raw">{&quot;a&quot;: <b>1</b>}</pre>""",
    )
    form = page.form("/here/")
    assert (form.hidden, form.buttons) == ({"token": "a&b"}, [("answer", "yes")])
    assert page.links == ["/there/"]
    assert page.texts == {"raw": '{"a": 1}'}
    with pytest.raises(NotAsExpected):
        page.form("/elsewhere/")
