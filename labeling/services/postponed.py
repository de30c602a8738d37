"""Items that an expert put off until a time; others may answer them meanwhile."""

from __future__ import annotations

from datetime import datetime, time, timedelta

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from labeling.models import Item, ItemState, Skip
from labeling.services import claims

MORNING = time(9)
HOUR, TOMORROW, WEEK = "1h", "tomorrow", "7d"
CHOICES = ((HOUR, _("in an hour")), (TOMORROW, _("tomorrow at 9:00")), (WEEK, _("in 7 days")))
MOST = 200  # shown


def moment_of(choice: str, now: datetime) -> datetime:
    """Return when an item put off `now` comes back; a day begins and ends where the zone of `now` says."""
    if choice == HOUR:
        return now + timedelta(hours=1)
    if choice == WEEK:
        return now + timedelta(days=7)
    return datetime.combine(now.date() + timedelta(days=1), MORNING, now.tzinfo)


def postpone(item: Item, expert: User, choice: str) -> bool:
    """Put an item off; False when the expert does not hold it."""
    return claims.skip(item, expert, moment_of(choice, timezone.localtime()))


def waiting(expert: User) -> QuerySet[Skip]:
    """Return what comes back to an expert, the next one first: postponed and skipped, unless others settled it."""
    own = Skip.objects.filter(expert=expert, until__gt=timezone.now())
    live = own.exclude(item__state__in=(ItemState.SETTLED, ItemState.EXPIRED))
    return live.select_related("item__queue__detector").order_by("until", "pk")[:MOST]


def take_back(item: Item, expert: User) -> bool:
    """Have an item back at once, and hold it; False when somebody else does, or it is done."""
    Skip.objects.filter(item=item, expert=expert).delete()
    return claims.claim(item, expert)
