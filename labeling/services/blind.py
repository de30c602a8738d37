"""What a person must not see yet: what models said of a drawn session, and what others answered before one's own."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import User
from accounts.roles import EXPERTS, Role
from labeling.models import DECIDED, Item, ItemState, Queue
from labeling.services import claims, conflicts, proofs
from labeling.services.labels import UNDO_WITHIN


def hides_evidence(item: Item, user: User) -> bool:
    """Say whether this user may see the session and nothing else: a drawn one that he may still answer."""
    return proofs.is_blind(item, user)


def hides_answers(item: Item, user: User) -> bool:
    """Say whether what others and machines answered is not yet for this user: it would make his own answer worthless.

    A conflict is decided by somebody who reads both sides; who has a part in it may be asked once more."""
    if hides_evidence(item, user):
        return True
    if item.state in conflicts.DISPUTED:
        return user.has_role(*EXPERTS) and (user.role == Role.EXPERT or conflicts.has_part(item, user))
    return claims.may_claim(item, user)


def is_told() -> Q:
    """Return which items may stand as evidence beside others: of drawn ones those that nobody can answer any more."""
    told = ~Q(queue__kind=Queue.Kind.PROOF) | Q(state=ItemState.SETTLED, settled_at__lte=timezone.now() - UNDO_WITHIN)
    return told & ~Q(state=ItemState.SEED)


def labelled() -> QuerySet[Item]:
    """Items with a known outcome that is nobody's secret."""
    return Item.objects.settled().filter(is_told(), outcome__in=DECIDED)
