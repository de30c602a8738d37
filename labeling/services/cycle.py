"""The label cycle: an answer in, the next item out, both or neither, in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction

from accounts.models import User
from labeling.models import Item, Label
from labeling.services import claims, groups, labels
from labeling.services.details import Given
from labeling.services.filters import EVERYTHING, ItemFilter


@dataclass(frozen=True, slots=True)
class Turn:
    label: Label
    answered: Item  # as it was before the answer
    following: Item | None
    today: int | None = None  # answers of the expert, where the turn knows


@transaction.atomic
def answer(pk: int, expert: User, given: Given, wanted: ItemFilter = EVERYTHING) -> Turn:
    """Write an answer and claim the next item. Raises Item.DoesNotExist, NotHolder, LabelRefused.

    The next item is claimed first: everybody who answers items of the queue waits for its counts, moved last."""
    given = given.checked()
    item = labels.hold(pk, expert)
    following = claims.claim_next(item.queue, expert, wanted, but=pk)
    written = labels.write(item, expert, given)
    return Turn(written.label, item, following, written.today)


@transaction.atomic
def answer_alike(pk: int, expert: User, given: Given, wanted: ItemFilter = EVERYTHING) -> Turn:
    """Write an answer to an item and all its look-alikes, then claim the next item, which is none of them."""
    item = Item.objects.select_related("queue__detector").get(pk=pk)
    label = groups.submit(item, expert, given)
    return Turn(label, item, claims.claim_next(item.queue, expert, wanted))
