"""Sending what a hunt found to a queue: previewed, made once, taken back while nobody has answered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs.models import State
from jobs.services import jobs
from labeling.models import HuntSend, Item, ItemState, Label, Queue, QueueDay
from labeling.services import hunt_folds, hunt_sends, hunts
from labeling.services.hunt_sends import Preview, SendRefused, preview
from labeling.services.records import from_json
from tests.factories import make_detector, make_session_item, make_user, make_version
from tests.labeling.conftest import make_scores
from tests.models_registry.loop import hit, http, take_in
from traffic.models import Segment

pytestmark = pytest.mark.django_db
ALL = "http.method == GET"


@pytest.fixture
def traffic(tmp_path):
    """Twelve sessions of three looks on two days, in two segments of nine hosts; the model flags one of them."""
    for day in (1, 2):
        records = [
            http(
                10 * day + n, f"/{('shop', 'news', 'wiki')[n % 3]}/{n}", timestamp=f"2026-03-0{day}T12:0{n}:00.000000Z"
            )
            for n in range(6)
        ]
        take_in(tmp_path, records, name=f"{day}.json")
    version = make_version(detector=make_detector(name="http-attacks"), stage="silent")
    for segment in Segment.objects.order_by("pk"):
        make_scores(version, segment, {0: 2.0})
    return version.detector


@pytest.fixture
def sent(traffic, expert):
    return start(traffic, expert)


def start(detector, by, text=ALL, note="have a look"):
    return hunt_sends.start(text, detector, by, note, since=None, until=timezone.now())


def run(job, work):
    jobs.run(job.pk, work)
    job.refresh_from_db()
    assert job.state == State.DONE, job.error
    return job.result


def test_the_preview_folds_what_passes_and_writes_nothing(traffic):
    found = preview(hunts.prepare(ALL), traffic)
    # the flagged session is another cell of the board than its look-alikes
    assert found == Preview(12, 7, 4, 0, 0, 4, 0, hunt_sends.budget(), too_many=False)
    assert not Item.objects.exists()
    assert preview(hunts.prepare("http.url ~ '/shop/*'"), traffic).sessions == 4


def test_a_job_makes_whole_items_with_the_note_of_all_their_sessions(sent):
    assert run(sent.job, hunt_sends.send)["items"] == 4
    items = Item.objects.filter(queue=sent.queue)
    assert sum(item.sessions for item in items) == 12
    assert {item.reason for item in items} == {"hunt"}
    wiki = items.get(title__contains="wiki")
    assert (wiki.sessions, wiki.hosts, wiki.state) == (4, 4, ItemState.OPEN)
    assert (wiki.first_at.day, wiki.last_at.day) == (1, 2)
    assert wiki.decision["note"] == "have a look"
    assert wiki.group_hosts.count() == 4
    assert len(from_json(wiki.record.examples)) == 3
    assert "/wiki/" in wiki.record.raw
    assert from_json(wiki.record.scores)[0]["verdict"] is False
    assert items.get(cell="unique").title.startswith("GET intranet.example/shop")
    assert Queue.objects.get(pk=sent.queue_id).waiting == 4
    assert sent.sent.count() == 4


def test_who_was_asked_already_is_not_asked_again(sent, traffic, expert):
    run(sent.job, hunt_sends.send)
    found = preview(hunts.prepare(ALL), traffic)
    assert (found.looks, found.waiting, found.answered, found.fresh) == (4, 4, 0, 0)
    with pytest.raises(SendRefused, match="not asked about already"):
        start(traffic, expert)
    Item.objects.filter(cell="unique").update(state=ItemState.SETTLED)
    assert preview(hunts.prepare(ALL), traffic).answered == 1


def test_a_second_run_makes_what_is_missing_and_nothing_twice(sent, monkeypatch):
    monkeypatch.setattr(hunt_sends, "CHUNK", 1)
    done = hunt_sends._send_some
    calls = []

    def dies_at_the_third(*arguments, **named):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return done(*arguments, **named)

    monkeypatch.setattr(hunt_sends, "_send_some", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        jobs.run(sent.job.pk, hunt_sends.send)
    assert Item.objects.count() == 2
    sent.job.__class__.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert run(sent.job, hunt_sends.send)["items"] == 4
    assert (Item.objects.count(), sent.sent.count(), Queue.objects.get(pk=sent.queue_id).waiting) == (4, 4, 4)
    assert sum(item.sessions for item in Item.objects.all()) == 12


def test_the_days_budget_holds_and_what_stays_out_is_said(sent, monkeypatch):
    monkeypatch.setattr(hunt_sends, "CHUNK", 2)
    monkeypatch.setattr("labeling.services.queues.EXPERT_DAY", 3)
    made = run(sent.job, hunt_sends.send)
    assert (made["items"], made["left out"]) == (3, 1)
    assert QueueDay.objects.get(queue=sent.queue).left_out == 1
    assert Item.objects.filter(cell="unique").exists()  # the strongest came first


def test_undo_takes_back_what_nobody_answered_or_holds(sent, expert):
    run(sent.job, hunt_sends.send)
    answered, held, *free = Item.objects.order_by("pk")
    Label.objects.create(item=answered, detector=answered.detector, subject_kind="session", subject_key="k",
                         expert=expert, answer="negative")  # fmt: skip
    Item.objects.filter(pk=held.pk).update(claimed_by=expert, claimed_until=timezone.now() + timedelta(minutes=5))
    hunt_sends.undo(sent, expert)
    sent.refresh_from_db()
    assert run(sent.undo_job, hunt_sends.take_back) | {"links": []} == {"removed": 2, "stay": 2, "links": []}
    assert set(Item.objects.filter(state=ItemState.EXPIRED)) == set(free)
    assert Queue.objects.get(pk=sent.queue_id).waiting == 2
    with pytest.raises(SendRefused, match="undone already"):
        hunt_sends.undo(sent, expert)


def test_what_was_taken_back_may_be_sent_again_and_counts_once(sent, traffic, expert):
    run(sent.job, hunt_sends.send)
    sent.refresh_from_db()
    run(hunt_sends.undo(sent, expert).undo_job, hunt_sends.take_back)
    again = start(traffic, expert, note="once more")
    assert run(again.job, hunt_sends.send)["items"] == 4
    items = Item.objects.all()
    assert {item.decision["note"] for item in items} == {"once more"}
    assert sum(item.sessions for item in items) == 12
    assert Queue.objects.get(pk=sent.queue_id).waiting == 4


def test_what_cannot_be_sent_is_refused(traffic, expert, monkeypatch):
    with pytest.raises(SendRefused, match="note"):
        start(traffic, expert, note="  ")
    other = make_detector(name="unscored")
    assert preview(hunts.prepare(ALL), other).unscored == 12
    with pytest.raises(SendRefused, match="not asked about"):
        start(other, expert)
    monkeypatch.setattr(hunt_folds, "MOST", 11)
    assert preview(hunts.prepare(ALL), traffic).too_many
    with pytest.raises(SendRefused, match="narrow the filter"):
        start(traffic, expert)


def test_drawn_items_are_not_told_of(traffic):
    row = {"host": "intranet.example"}
    drawn = make_session_item(queue=None, detector=traffic)
    Queue.objects.filter(pk=drawn.queue_id).update(kind=Queue.Kind.PROOF, detector=traffic)
    marks = hunt_folds.fold(hunts.prepare(ALL), traffic).cases
    Item.objects.filter(pk=drawn.pk).update(fingerprint=next(iter(marks)))
    assert preview(hunts.prepare(ALL), traffic).waiting == 0, row


def test_the_page_shows_the_figures_then_sends_and_follows_the_job(client, expert, traffic):
    client.force_login(expert)
    address = reverse("labeling:send-hunt", query={"q": ALL, "detector": traffic.name})
    page = client.get(address).text
    assert "Send 4 items" in page
    assert "places left today" in page
    refused = client.post(address, {"note": ""})
    assert (refused.status_code, "Say in a note" in refused.text) == (409, True)
    answer = client.post(address, {"note": "<b>look</b>", "until": timezone.now().isoformat()})
    sent = HuntSend.objects.get()
    assert answer.url == reverse("labeling:hunt-send", args=[sent.pk])
    assert "&lt;b&gt;look&lt;/b&gt;" in client.get(answer.url).text
    run(sent.job, hunt_sends.send)
    state = client.get(reverse("labeling:hunt-send-state", args=[sent.pk])).text
    assert ">4<" in state
    assert "every 1s" not in state
    assert "&lt;b&gt;look" in client.get(reverse("labeling:item", args=[Item.objects.first().pk])).text
    assert sent.note not in client.get(reverse("labeling:hunt-sends")).text
    client.post(reverse("labeling:undo-hunt-send", args=[sent.pk]))
    sent.refresh_from_db()
    assert sent.undo_job is not None
    client.force_login(make_user())
    assert "Undo: take back" not in client.get(reverse("labeling:hunt-send", args=[sent.pk])).text


def test_a_filter_that_names_a_version_chooses_its_detector(client, expert, traffic):
    client.force_login(expert)
    page = client.get(reverse("labeling:send-hunt", query={"q": 'model("http-attacks").score > 0.5'})).text
    assert "Send 1 item" in page
    assert client.get(reverse("labeling:send-hunt", query={"q": "htp == 1"})).status_code == 400


def test_hits_are_not_needed_for_sending(traffic, tmp_path, expert):
    take_in(tmp_path, [http(900, "/hit/1"), hit(900)], name="hits.json")
    assert preview(hunts.prepare("rule.sid == 2000001"), traffic).unscored == 1
