"""Attention is the scarce good: a daily intake, an expiry, and counts that follow every change of state."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from labeling.models import Item, ItemState, Queue, QueueDay
from labeling.services import claims, labels, queues
from labeling.services.routing import route_waiting
from tests import factories
from tests.factories import make_session_item as make_item
from tests.labeling.conftest import eve_record, make_scores

pytestmark = pytest.mark.django_db


def looks(number, host="10.0.0.1"):
    return eve_record(number, src_ip=host, http={"hostname": f"site{number}.example{number}.org"})


def counts(queue):
    queue.refresh_from_db()
    return queue.waiting, queue.conflicts


# the budget


def test_a_day_takes_in_400_items_per_expert(db):
    assert queues.budget() == 400  # a house without experts still shows what waits
    factories.make_user(factories.Role.EXPERT)
    factories.make_user(factories.Role.SENIOR)
    factories.make_user(factories.Role.ENGINEER)
    factories.make_user(factories.Role.EXPERT, is_active=False)
    assert queues.budget() == 800


def test_what_exceeds_the_budget_is_left_out_and_counted(make_segment, monkeypatch, expert_client):
    monkeypatch.setattr(queues, "EXPERT_DAY", 3)
    version = factories.make_version(threshold=0.7)
    make_scores(version, make_segment([looks(n) for n in range(5)]), {n: 2.0 + n for n in range(5)})
    assert route_waiting() == 3
    queue = Queue.objects.get()
    assert counts(queue) == (3, 0)
    assert QueueDay.objects.values_list("admitted", "left_out").get() == (3, 2)
    # the strongest came in; of one host, so by score
    assert {item.decision["score"] > 0.98 for item in Item.objects.all()} == {True}
    page = expert_client.get(reverse("labeling:queue", args=[queue.slug])).text
    assert "2 left out today" in page


def test_hosts_come_in_one_by_one(make_segment, monkeypatch):
    monkeypatch.setattr(queues, "EXPERT_DAY", 2)
    version = factories.make_version(threshold=0.7)
    make_scores(version, make_segment([looks(0), looks(1), looks(2, "10.0.0.2")]), {0: 9.0, 1: 8.0, 2: 1.0})
    route_waiting()
    assert set(Item.objects.values_list("group_hosts__host", flat=True)) == {"10.0.0.1", "10.0.0.2"}


def test_the_next_day_has_a_budget_of_its_own(make_segment, monkeypatch):
    monkeypatch.setattr(queues, "EXPERT_DAY", 1)
    version = factories.make_version(threshold=0.7)
    for day, number in ((0, 1), (0, 2), (1, 3)):
        make_scores(version, make_segment([looks(number)]), {0: 2.0})
        with time_machine.travel(timezone.now() + timedelta(days=day)):
            route_waiting()
    assert list(QueueDay.objects.order_by("day").values_list("admitted", "left_out")) == [(1, 1), (1, 0)]


def test_look_alikes_of_an_item_cost_no_budget(make_segment, monkeypatch):
    monkeypatch.setattr(queues, "EXPERT_DAY", 1)
    version = factories.make_version(threshold=0.7)
    for start in (0, 100):
        make_scores(version, make_segment([eve_record(start + n) for n in range(5)]), dict.fromkeys(range(5), 2.0))
        route_waiting()
    assert Item.objects.get().sessions == 10
    assert QueueDay.objects.values_list("admitted", "left_out").get() == (1, 0)


# expiry


@pytest.fixture
def old(queue):
    return make_item(queue, created_at=timezone.now() - timedelta(days=15))


def test_what_nobody_looked_at_for_14_days_expires(queue, old):
    fresh = make_item(queue, created_at=timezone.now() - timedelta(days=13))
    assert queues.expire() == 1
    assert Item.objects.get(state=ItemState.EXPIRED) == old
    assert Item.objects.get(state=ItemState.OPEN) == fresh
    assert counts(queue) == (1, 0)
    assert queues.expire() == 0


def test_complaints_never_expire(db):
    queue = factories.make_queue(kind=Queue.Kind.COMPLAINT)
    make_item(queue, created_at=timezone.now() - timedelta(days=99))
    assert queues.expire() == 0


@pytest.mark.parametrize("touch", ["held", "seen", "skipped", "answered"])
def test_what_somebody_touched_stays(queue, old, expert, answer, touch):
    if touch == "answered":
        answer(old, expert, "positive")
    else:
        claims.claim(old, expert)
    if touch == "skipped":
        claims.skip(old, expert)
    when = timedelta(minutes=20) if touch == "seen" else timedelta(0)
    with time_machine.travel(timezone.now() + when):
        assert queues.expire() == 0


def test_an_expired_look_that_comes_again_opens_its_item(make_segment):
    version = factories.make_version(threshold=0.7)
    make_scores(version, make_segment([eve_record(0)]), {0: 2.0})
    route_waiting()
    Item.objects.update(created_at=timezone.now() - timedelta(days=15))
    assert queues.expire() == 1
    make_scores(version, make_segment([eve_record(50)]), {0: 2.0})
    route_waiting()
    item = Item.objects.get()
    assert (item.state, item.sessions, counts(item.queue)) == (ItemState.OPEN, 2, (1, 0))
    assert queues.expire() == 0


def test_an_expired_item_is_nobodys_and_stands_in_its_list(queue, old, expert, expert_client):
    queues.expire()
    assert claims.claim_next(queue, expert) is None
    assert not claims.claim(old, expert)
    page = expert_client.get(reverse("labeling:queue", args=[queue.slug]), {"state": "expired"}).text
    assert old.title in page


# counts


def test_counts_follow_every_answer(queue, expert, senior, answer):
    item = make_item(queue)
    make_item(queue)
    assert counts(queue) == (2, 0)
    answer(item, expert, "positive")
    assert counts(queue) == (2, 0)
    answer(item, factories.make_user(), "negative")
    assert counts(queue) == (1, 1)
    answer(item, senior, "negative")
    assert counts(queue) == (1, 0)
    labels.undo(senior)
    assert counts(queue) == (1, 1)


def test_a_list_of_queues_counts_nothing(django_assert_max_num_queries):
    for _ in range(3):
        queue = factories.make_queue()
        make_item(queue)
    with django_assert_max_num_queries(6):  # queues, prices, days, and the oldest item of each
        assert [load.waiting for load in queues.loads()] == [1, 1, 1]


def test_counts_that_went_wrong_are_repaired(queue):
    make_item(queue)
    make_item(queue, state=ItemState.CONFLICT)
    Queue.objects.update(waiting=77, conflicts=0)
    assert queues.recount() == 1
    assert counts(queue) == (1, 1)
    assert queues.recount() == 0


def test_a_wrong_count_stops_nobody(queue):
    with transaction.atomic():
        queues.move(queue.pk, ItemState.OPEN, ItemState.SETTLED, 5)
    assert counts(queue) == (0, 0)
