"""Eight processes work one queue: nobody gets what somebody else has."""

from __future__ import annotations

from collections import Counter

import pytest

from accounts.models import User
from labeling.models import Item, ItemState, Label, Queue
from labeling.services import claims, labels
from tests import factories
from tests.factories import make_session_item as make_item
from tests.processes import at_once

CLAIMANTS = 8
ITEMS = 120


def _work(queue: int, expert: int) -> list[int]:
    """Claim and answer until nothing is left; return what was claimed."""
    found = []
    line, person = Queue.objects.get(pk=queue), User.objects.get(pk=expert)
    while (item := claims.claim_next(line, person)) is not None:
        found.append(item.pk)
        labels.submit(item, person, "positive")
    return found


@pytest.mark.django_db(transaction=True)
def test_eight_claimants_never_hold_the_same_item():
    queue = factories.make_queue(labels_needed=1)
    for _ in range(ITEMS):
        make_item(queue)
    people = [factories.make_user() for _ in range(CLAIMANTS)]
    claimed = at_once(_work, [(queue.pk, person.pk) for person in people])
    assert [found for found in claimed if isinstance(found, str)] == []
    counts = Counter(pk for found in claimed for pk in found)
    assert sorted(counts) == sorted(Item.objects.values_list("pk", flat=True))
    assert set(counts.values()) == {1}
    assert Label.objects.count() == ITEMS
    assert not Item.objects.exclude(state=ItemState.SETTLED).exists()


@pytest.mark.django_db(transaction=True)
def test_two_answers_each_come_from_two_people():
    queue = factories.make_queue(labels_needed=2)
    for _ in range(30):
        make_item(queue)
    people = [factories.make_user() for _ in range(CLAIMANTS)]
    at_once(_work, [(queue.pk, person.pk) for person in people])
    answered = list(Label.objects.values_list("item_id", "expert_id"))
    assert len(answered) == len(set(answered))
    # a claimant who finds all that is left in other hands goes home, so the last few may keep one answer
    assert 50 < len(answered) <= 60
    assert max(Counter(item for item, _expert in answered).values()) == 2
