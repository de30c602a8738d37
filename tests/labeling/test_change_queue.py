"""How many equal answers a queue asks for: set by a senior, on record, followed at once."""

from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import AuditEntry
from labeling.models import Item, ItemState, Queue
from labeling.services import proofs, queue_rules, queues
from tests import factories
from tests.factories import make_session_item

pytestmark = pytest.mark.django_db
URL = "labeling:change-queue"


def test_a_senior_changes_it_on_a_page_and_it_is_on_record(queue, senior, senior_client):
    url = reverse(URL, args=[queue.slug])
    assert "equal answers that settle an item" in senior_client.get(url).text
    assert reverse(URL, args=[queue.slug]) in senior_client.get(reverse("labeling:queue", args=[queue.slug])).text
    assert senior_client.post(url, {"labels_needed": 3, "raised_percent": 20}).status_code == 302
    changed = Queue.objects.get()
    assert (changed.labels_needed, changed.raised_share) == (3, 0.2)
    entry = AuditEntry.objects.get(action="queue.changed")
    assert (entry.actor, entry.subject) == (senior, queue.slug)
    assert entry.details["before"] == {"labels_needed": 2, "raised_share": 0.0}
    page = senior_client.get(reverse("labeling:queue", args=[queue.slug])).text
    assert "3 equal answers settle" in page
    assert "one more for 20.00 %" in page
    assert str(senior) in senior_client.get(url).text


@pytest.mark.parametrize(("needed", "percent"), [(0, 0), (6, 0), (2, -1), (2, 101), ("", 5)])
def test_nonsense_is_refused(queue, senior_client, needed, percent):
    answer = senior_client.post(reverse(URL, args=[queue.slug]), {"labels_needed": needed, "raised_percent": percent})
    assert answer.status_code == 422
    assert Queue.objects.get().labels_needed == 2
    with pytest.raises(ValueError, match="answers"):
        queue_rules.change(queue, None, labels_needed=9, raised_share=0.0)


def test_fewer_answers_settle_what_waits_for_one(queue, expert, senior, answer):
    for _number in range(3):
        answer(make_session_item(queue), expert, "positive")
    raised = make_session_item(queue, labels_needed=3)
    answer(raised, expert, "positive")
    untouched = make_session_item(queue)
    assert queue_rules.change(queue, senior, labels_needed=1, raised_share=0.0)
    assert Item.objects.filter(state=ItemState.SETTLED).count() == 3
    assert set(Item.objects.waiting()) == {raised, untouched}
    assert queues.recount() == 0


def test_more_answers_open_nothing_that_is_settled(queue, expert, senior, answer):
    item = make_session_item(queue)
    answer(item, expert, "positive")
    answer(item, senior, "positive")
    queue_rules.change(queue, senior, labels_needed=3, raised_share=0.0)
    assert Item.objects.get().state == ItemState.SETTLED


def test_the_same_rules_are_no_change(queue, senior):
    assert not queue_rules.change(queue, senior, labels_needed=2, raised_share=0.0)
    assert not AuditEntry.objects.filter(action="queue.changed").exists()


def test_a_share_of_new_items_is_raised_by_lots_that_never_change(queue):
    assert queues.needed_of(queue, "f" * 64) is None
    queue.raised_share = 0.2
    prints = [f"{number:064x}" for number in range(2_000)]
    raised = [mark for mark in prints if queues.needed_of(queue, mark) == 3]
    assert 340 < len(raised) < 460
    assert raised == [mark for mark in prints if queues.needed_of(queue, mark) is not None]


def test_of_drawn_items_one_answer_is_given_and_the_share_of_second_ones_is_the_queues(senior, senior_client):
    version = factories.make_version()
    queue = queues.queue_of(version.detector, Queue.Kind.PROOF)
    assert (queue.labels_needed, queue.raised_share) == (1, 0.2)
    url = reverse(URL, args=[queue.slug])
    assert senior_client.post(url, {"labels_needed": 4, "raised_percent": 50}).status_code == 302
    assert Queue.objects.get().labels_needed == 1
    assert proofs._policy(version).second_share == 0.5
