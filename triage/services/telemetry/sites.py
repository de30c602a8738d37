"""Sites that do not speak, or count nothing: a notice of its own, not a statistical one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Subquery
from django.utils import timezone

from models_registry.models import Appliance, Site
from triage.models import TelemetryWindow, Topic
from triage.services import announcements

MISSING = 3  # days in a row


@dataclass(frozen=True, slots=True)
class Silent:
    """A site of which nothing was counted for days."""

    site: Site
    heard: date | None  # newest day on which it scored anything; None: never
    spoke: date | None  # newest day that it told of, if only of zeros
    days: int | None  # missing, since it was heard

    @property
    def is_blind(self) -> bool:
        """It sends, and nothing is scored there."""
        return self.spoke is not None and self.spoke != self.heard


def silent(now: datetime | None = None) -> list[Silent]:
    """Return the sites with an appliance in use that have missed MISSING closed days or more, longest first."""
    today = (now or timezone.now()).astimezone(UTC).date()
    oldest = _midnight(today - timedelta(days=MISSING))
    in_use = Appliance.objects.filter(retired_at=None, enrolled_at__lt=oldest)
    told = TelemetryWindow.objects.filter(appliance=OuterRef("pk"), replaced_at=None).order_by("-hour")
    counted = told.filter(scanned__gt=0)
    speaking = Appliance.objects.filter(retired_at=None)
    heard_lately = speaking.filter(Exists(counted.filter(hour__gte=oldest)))  # of nearly all: one look into an index
    quiet = speaking.filter(site__in=in_use.values("site")).exclude(site__in=heard_lately.values("site"))
    appliances = quiet.annotate(heard=Subquery(counted.values("day")[:1]), spoke=Subquery(told.values("day")[:1]))
    of: dict[int, list[Any]] = defaultdict(list)
    for appliance in appliances.select_related("site__customer"):
        of[appliance.site_id].append(appliance)
    found = [_silent(mine, today) for mine in of.values()]
    return sorted(found, key=lambda one: (one.days is not None, -(one.days or 0), one.site.pk))


def _silent(appliances: Sequence[Any], today: date) -> Silent:
    heard = max((one.heard for one in appliances if one.heard), default=None)
    spoke = max((one.spoke for one in appliances if one.spoke), default=None)
    return Silent(appliances[0].site, heard, spoke, (today - heard).days - 1 if heard else None)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def tell_silent(now: datetime | None = None) -> int:
    """Announce sites that went silent, once for each silence; return how many are new."""
    told = 0
    for one in silent(now):
        if one.heard is None:
            continue  # it never spoke: its installation is not finished
        made = announcements.announce(
            f"silent-{one.site.pk}-{one.heard}",
            Topic.SITE_SILENT,
            f"{one.site}: no counts since {one.heard}",
            {"customer": one.site.customer.name, "site": one.site.name, "heard": str(one.heard)},
            customer=one.site.customer,
            addresses=announcements.servants(one.site.customer),
        )
        told += made is not None
    return told
