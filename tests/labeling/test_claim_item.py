"""Claiming: one item, one expert, for as long as the page is open."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from labeling.models import Item, ItemState, Skip
from labeling.services import claims, labels
from labeling.services.filters import ItemFilter, Order
from tests import factories
from tests.factories import make_session_item as make_item

pytestmark = pytest.mark.django_db


def test_the_most_urgent_item_comes_first(queue, expert):
    make_item(queue, priority=1)
    urgent = make_item(queue, priority=3)
    assert claims.claim_next(queue, expert) == urgent


def test_the_oldest_of_equally_urgent_items_comes_first(queue, expert):
    first = make_item(queue, priority=1)
    make_item(queue, priority=1)
    assert claims.claim_next(queue, expert) == first


def test_asking_again_gives_the_item_already_held(queue, expert):
    held = claims.claim_next(queue, make_item(queue) and expert)
    make_item(queue, priority=9)
    assert claims.claim_next(queue, expert) == held


def test_two_experts_get_two_items(queue, expert, senior):
    first, second = make_item(queue, priority=2), make_item(queue, priority=1)
    assert claims.claim_next(queue, expert) == first
    assert claims.claim_next(queue, senior) == second
    assert claims.claim_next(queue, factories.make_user()) is None


def test_an_item_of_another_queue_is_not_given(queue, expert):
    make_item(factories.make_queue())
    assert claims.claim_next(queue, expert) is None


def test_a_lease_that_ran_out_frees_the_item(queue, expert, senior):
    item = make_item(queue)
    claims.claim_next(queue, expert)
    with time_machine.travel(timezone.now() + claims.LEASE + timedelta(seconds=1)):
        assert claims.claim_next(queue, senior) == item


def test_an_expert_never_gets_an_item_he_has_answered(queue, expert, answer):
    answer(make_item(queue), expert, "positive")
    assert claims.claim_next(queue, expert) is None


def test_an_expert_gets_an_item_again_whose_answer_he_withdrew(queue, expert, answer):
    item = make_item(queue)
    answer(item, expert, "positive")
    labels.undo(expert)
    assert claims.claim_next(queue, expert) == item


def test_a_skipped_item_comes_back_after_a_while_and_to_others_at_once(queue, expert, senior):
    item = make_item(queue)
    claims.claim_next(queue, expert)
    assert claims.skip(item, expert)
    assert claims.claim_next(queue, expert) is None
    with time_machine.travel(timezone.now() + claims.SKIP_FOR + timedelta(seconds=1)):
        assert claims.claim_next(queue, expert) == item
        claims.release(item, expert)
    assert claims.claim_next(queue, senior) == item


def test_skipping_twice_keeps_one_row(queue, expert):
    item = make_item(queue)
    for _ in range(2):
        claims.claim(item, expert)
        claims.skip(item, expert)
    assert Skip.objects.count() == 1


def test_a_conflict_goes_to_a_senior_who_has_not_answered_and_before_all_else(queue, expert, senior):
    make_item(queue, priority=9)
    conflict = make_item(queue, priority=1, state=ItemState.CONFLICT)
    assert claims.claim_next(queue, expert) != conflict
    assert claims.claim_next(queue, senior) == conflict


def test_a_senior_who_is_part_of_a_conflict_does_not_decide_it(queue, expert, senior, answer):
    item = make_item(queue)
    answer(item, senior, "positive")
    answer(item, expert, "negative")
    item.refresh_from_db()
    assert item.state == ItemState.CONFLICT
    assert claims.claim_next(queue, senior) is None
    assert not claims.claim(item, senior)


def test_a_settled_item_is_nobodys(queue, expert):
    item = make_item(queue, state=ItemState.SETTLED)
    assert claims.claim_next(queue, expert) is None
    assert not claims.claim(item, expert)


def test_a_lease_is_renewed_by_its_holder_only(held, expert, senior):
    with time_machine.travel(timezone.now() + timedelta(minutes=9)):
        assert claims.renew(held, expert)
        assert not claims.renew(held, senior)
    with time_machine.travel(timezone.now() + timedelta(minutes=15)):
        assert not claims.claim(held, senior)


def test_a_page_left_open_overnight_loses_its_item(held, expert, senior):
    opened = timezone.now()
    for minutes in range(0, 70, 5):
        with time_machine.travel(opened + timedelta(minutes=minutes)):
            claims.renew(held, expert)
    with time_machine.travel(opened + timedelta(minutes=80)):
        assert claims.claim(held, senior)


def test_releasing_somebody_elses_item_does_nothing(held, senior):
    assert not claims.release(held, senior)
    assert Item.objects.get().holder is not None


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="the plan of a small table says nothing on PostgreSQL")
@pytest.mark.parametrize("order", Order.values)
def test_a_claim_reads_the_open_items_in_order_and_sorts_nothing(queue, expert, order):
    wanted = ItemFilter(text="x", host="10.1.4.22", sensor="core-1", min=0.5, order=order)
    with CaptureQueriesContext(connection) as asked:
        claims.claim_next(queue, expert, wanted)
    (given,) = (query["sql"] for query in asked if query["sql"].strip().startswith("UPDATE"))
    assert "item_held" in plan_of(given)
    assert "USING INDEX item_open_by_" in plan_of(given)
    assert "TEMP B-TREE" not in plan_of(given)


def plan_of(statement):
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
        return " ".join(str(line[-1]) for line in cursor.fetchall())


# the page


def test_the_second_expert_is_told_no_and_who_holds_it(held, expert, senior_client):
    response = senior_client.post(reverse("labeling:claim-item", args=[held.pk]), headers={"HX-Request": "true"})
    assert response.status_code == 409
    assert f"{expert} holds this item now" in response.text


def test_claiming_shows_the_item_with_the_keys(item, expert_client):
    response = expert_client.post(reverse("labeling:claim-item", args=[item.pk]), headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert 'data-key="m"' in response.text


@pytest.mark.parametrize("role", ["support", "engineer", "administrator", "auditor"])
def test_others_may_not_claim(item, role, request):
    client = request.getfixturevalue(f"{role}_client")
    assert client.post(reverse("labeling:claim-item", args=[item.pk])).status_code == 403
