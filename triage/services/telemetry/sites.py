"""Sites that do not speak, or count nothing: a notice of its own, not a statistical one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db.models import Max, Q
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
    in_use = Appliance.objects.filter(retired_at=None, enrolled_at__lt=_midnight(today - timedelta(days=MISSING)))
    told = (
        TelemetryWindow.objects.filter(appliance__retired_at=None, replaced_at=None)
        .values("appliance__site")
        .annotate(spoke=Max("day"), heard=Max("day", filter=Q(scanned__gt=0)))
        .order_by()
    )
    newest = {row["appliance__site"]: (row["heard"], row["spoke"]) for row in told}
    sites = Site.objects.filter(pk__in=in_use.values("site")).select_related("customer")
    found = [_silent(site, *newest.get(site.pk, (None, None)), today) for site in sites]
    missing = [one for one in found if one.days is None or one.days >= MISSING]
    return sorted(missing, key=lambda one: (one.days is not None, -(one.days or 0), one.site.pk))


def _silent(site: Site, heard: date | None, spoke: date | None, today: date) -> Silent:
    return Silent(site, heard, spoke, (today - heard).days - 1 if heard else None)


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
