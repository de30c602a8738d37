"""What a person must not see yet: what models said of a drawn session, and what others answered before one's own."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import User
from labeling.models import DECIDED, Item, ItemState, Queue
from labeling.services import claims, proofs
from labeling.services.labels import UNDO_WITHIN


def hides_evidence(item: Item, user: User) -> bool:
    """Say whether this user may see the session and nothing else: a drawn one that he may still answer."""
    return proofs.is_blind(item, user)


def hides_answers(item: Item, user: User) -> bool:
    """Say whether what others and machines answered is not yet for this user: it would make his own answer worthless.

    A conflict is decided by somebody who reads both sides."""
    return hides_evidence(item, user) or (claims.may_claim(item, user) and item.state != ItemState.CONFLICT)


def told() -> QuerySet[Item]:
    """Items whose outcome is nobody's secret any more, as evidence beside others."""
    drawn = Q(queue__kind=Queue.Kind.PROOF, settled_at__gt=timezone.now() - UNDO_WITHIN)
    return Item.objects.settled().filter(outcome__in=DECIDED).exclude(drawn)
