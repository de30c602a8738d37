"""What else changed when a ratio did: bundles, thresholds, rule mappings, sites. A hint, and no proof."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from django.utils.translation import gettext as _

from models_registry.models import ApplianceReport, Bundle, BundleEntry, Publication
from triage.models import Incident, TelemetryDay, TelemetryWindow

BEFORE = timedelta(days=7)
AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed, and on which day it was first seen."""

    day: date
    what: str
    before: str
    after: str
    bundle: Bundle | None = None


def around(incident: Incident) -> list[Change]:
    """Return what changed near the start of an incident's change, oldest first; [] where nothing is known to have."""
    found = [*_counted(incident), *_reported(incident), *_published(incident), *_inspected(incident)]
    return sorted(found, key=lambda one: (one.day, one.what))


def _near(incident: Incident) -> tuple[date, date]:
    return incident.since - BEFORE, incident.since + AFTER


def _counted(incident: Incident) -> list[Change]:
    """Bundles by which the version was counted, and what differs between one and the next."""
    first, last = _near(incident)
    rows = TelemetryWindow.objects.filter(
        replaced_at=None, day__range=(first, last), bundle__entries__version=incident.version_id
    )
    if incident.customer_id is not None:
        rows = rows.filter(customer=incident.customer_id)
    order = rows.order_by("hour").values_list("day", "bundle").distinct()
    days: dict[int, date] = {}
    for day, bundle in order:
        days.setdefault(bundle, day)
    bundles = Bundle.objects.in_bulk(list(days))
    chain = [(days[pk], bundles[pk]) for pk in sorted(days, key=lambda pk: days[pk])]
    found = []
    for (_day, old), (day, new) in pairwise(chain):
        found.append(Change(day, _("bundle"), str(old), str(new), new))
        found += _between(incident, day, old, new)
    return found


def _between(incident: Incident, day: date, old: Bundle, new: Bundle) -> list[Change]:
    found = []
    entries = {
        one.bundle_id: one for one in BundleEntry.objects.filter(version=incident.version_id, bundle__in=(old, new))
    }
    before, after = entries.get(old.pk), entries.get(new.pk)
    if before and after and before.threshold != after.threshold:
        found.append(Change(day, _("threshold"), f"{before.threshold:g}", f"{after.threshold:g}", new))
    if before and after and before.is_silent != after.is_silent:
        names = {True: _("silent"), False: _("loud")}
        found.append(Change(day, _("silent flag"), names[before.is_silent], names[after.is_silent], new))
    rules = [_mapping(one, incident.detector.name) for one in (old, new)]
    if rules[0] != rules[1]:
        found.append(Change(day, _("rule set"), rules[0][:12], rules[1][:12], new))
    return found


def _mapping(bundle: Bundle, detector: str) -> str:
    """Return the digest of the rule mapping by which a bundle's appliances count hits."""
    told: list[dict[str, Any]] = bundle.metadata.get("detectors", [])
    mine = next((one for one in told if one.get("registry_name") == detector), {})
    return str(mine.get("mapping_digest") or "–")


def _reported(incident: Incident) -> list[Change]:
    """Versions of the product around the appliances."""
    first, last = _near(incident)
    if incident.customer_id is None:
        return []
    reports = ApplianceReport.objects.filter(
        appliance__site__customer=incident.customer_id, protocol=incident.detector.protocol, at__date__lte=last
    ).select_related("appliance__site")
    found: list[Change] = []
    newest: dict[int, str] = {}
    for one in reports.order_by("id"):
        old = newest.get(one.appliance_id)
        if old is not None and old != one.product_version and one.at.date() >= first:
            what = _("product at %(site)s") % {"site": one.appliance.site.name}
            found.append(Change(one.at.date(), what, old, one.product_version))
        newest[one.appliance_id] = one.product_version
    return found


def _published(incident: Incident) -> list[Change]:
    """Bundles that were published to the customer, whether or not a site has taken them."""
    first, last = _near(incident)
    published = Publication.objects.filter(published_at__date__range=(first, last)).select_related("bundle", "customer")
    if incident.customer is not None:
        channels = set(incident.customer.sites.values_list("appliances__channel", flat=True)) - {None}
        mine = [
            one
            for one in published
            if one.customer_id == incident.customer_id or (one.customer_id is None and one.channel in channels)
        ]
    else:
        mine = [one for one in published if one.customer_id is None]
    has = set(
        BundleEntry.objects.filter(
            bundle__in=[one.bundle_id for one in mine], version__detector=incident.detector_id
        ).values_list("bundle", flat=True)
    )
    return [
        Change(one.published_at.date(), _("published"), "", str(one), one.bundle)
        for one in mine
        if one.bundle_id in has
    ]


def _inspected(incident: Incident) -> list[Change]:
    """Whether rules began or ceased to look: sessions that were not inspected count for neither stream."""
    first, last = _near(incident)
    rows = TelemetryDay.objects.filter(version=incident.version_id, day__range=(first, last), scanned__gt=0)
    if incident.customer_id is None:
        return []
    found, before = [], None
    for row in rows.filter(customer=incident.customer_id).order_by("day"):
        share = row.not_inspected / row.scanned
        if before is not None and abs(share - before) > 0.2:
            found.append(Change(row.day, _("not inspected by rules"), f"{before:.0%}", f"{share:.0%}"))
        before = share
    return found
