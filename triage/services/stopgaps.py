"""What can be done before a fix is trained: a higher threshold, or silence for one customer. Each with its price."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from detection.bundle_config import ConfigError
from detection.thresholds import FINEST, just_above
from labeling.services import dials
from models_registry.models import Bundle, BundleEntry, Version
from models_registry.services import boards, bundles
from models_registry.services import dials as store_dials
from models_registry.services.gates import NothingToCheck
from triage.models import Complaint, Incident, IncidentState, State
from triage.services import incidents

WINDOW = timedelta(days=7)
HIGHER, SILENT = "threshold", "silent"


class NoStopGap(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """It cannot be built; the message says why."""


@dataclass(frozen=True, slots=True)
class StopGap:
    """One way to keep the customer quiet until the fix, and what it takes from him."""

    how: str
    threshold: float
    silent: bool
    positives: int  # sessions of the last week, on our own traffic, that would not be flagged any more
    of: int  # that are flagged now
    unique: int  # of the lost ones, those that no rule hits
    agreed: bool  # two people agreed on the threshold; else it is proposed first


def of(complaint: Complaint) -> list[StopGap]:
    """Return the stop-gaps of a complaint, the cheapest first; none where nothing was reproduced."""
    entry = _entry(complaint)
    if entry is None or complaint.score is None or complaint.state == State.TOLD:
        return []
    found = [_price(entry, entry.threshold, silent=True)]
    if entry.threshold <= complaint.score < 1 - 2 * FINEST:
        found.append(_price(entry, just_above(complaint.score), silent=False))
    return sorted(found, key=lambda one: (one.unique, one.positives, one.silent))


def above(complaint: Complaint) -> float | None:
    """Return the threshold at which a complaint's score is no verdict any more; None where none is below 1."""
    if complaint.score is None or complaint.score >= 1 - 2 * FINEST:
        return None
    return just_above(complaint.score)


def _price(entry: BundleEntry, threshold: float, *, silent: bool) -> StopGap:
    bars = boards.flagged_between(entry.version, entry.threshold, 1.1 if silent else threshold, WINDOW)
    agreed = silent or not store_dials.objection(entry.version, threshold)
    return StopGap(SILENT if silent else HIGHER, threshold, silent, bars.lost, bars.all, bars.lost_unique, agreed)


def build(complaint: Complaint, how: str, by: User) -> Bundle:
    """Build the bundle the customer runs with one entry changed. Publishing it is a release. Raises NoStopGap.

    A threshold that no two people agreed on is proposed instead, and the second person is waited for."""
    entry = _entry(complaint)
    chosen = next((one for one in of(complaint) if one.how == how), None)
    if entry is None or chosen is None:
        raise NoStopGap(_("There is no such stop-gap for %(number)s.") % {"number": complaint.number})
    if not chosen.agreed:
        raise NoStopGap(_proposed(complaint, entry.version, chosen.threshold, by))
    made = _build(entry, chosen)
    with transaction.atomic():
        audit.record(by, "complaint.stop-gap", complaint.number, how=how, bundle=str(made))
    return made


def _proposed(complaint: Complaint, version: Version, threshold: float, by: User) -> str:
    """Ask the second person to agree on a threshold; return what is waited for."""
    cost = version.detector.false_positive_cost
    step = dials.dial_of(version, false_positive_cost=cost, miss_cost=1.0, also=threshold).nearest(threshold)
    store_dials.propose(version, step, by, false_positive_cost=cost, miss_cost=1.0, reason=complaint.number)
    told = _("%(version)s at %(threshold)s was proposed: build it when a senior expert has agreed, on the dial.")
    return told % {"version": version, "threshold": threshold}


def of_incident(incident: Incident) -> StopGap | None:
    """Return the silent flag as a stop-gap of an incident; a threshold is chosen on the dial. None: nothing is loud."""
    entry = _entry_of_incident(incident)
    return _price(entry, entry.threshold, silent=True) if entry else None


def build_for_incident(incident: Incident, by: User) -> Bundle:
    """Build the bundle that counted, with the incident's version silent. Raises NoStopGap."""
    entry, chosen = _entry_of_incident(incident), of_incident(incident)
    if entry is None or chosen is None:
        raise NoStopGap(_("There is no such stop-gap for %(number)s.") % {"number": incident.number})
    made = _build(entry, chosen)
    with transaction.atomic():
        audit.record(by, "incident.stop-gap", incident.number, how=chosen.how, bundle=str(made))
    return made


def _entry_of_incident(incident: Incident) -> BundleEntry | None:
    bundle = incidents.bundle_of(incident)
    if bundle is None or incident.state == IncidentState.CLOSED:
        return None
    entries = bundle.entries.filter(version=incident.version_id, is_silent=False)
    return entries.select_related("version__detector", "bundle").first()


def _build(entry: BundleEntry, chosen: StopGap) -> Bundle:
    """Build an entry's bundle with that entry changed. Raises NoStopGap."""
    config = "models:\n" + "".join(
        _line(one, chosen if one.pk == entry.pk else None)
        for one in entry.bundle.entries.select_related("version__detector").order_by("id")
    )
    try:
        return bundles.build(config)
    except (ConfigError, bundles.BundleRefused, NothingToCheck) as refusal:
        raise NoStopGap(str(refusal)) from None


def _line(entry: BundleEntry, change: StopGap | None) -> str:
    threshold = change.threshold if change else entry.threshold
    silent = change.silent if change else entry.is_silent
    return (
        f'- registry_name: "{entry.version.detector.name}"\n  version: {entry.version.number}\n'
        f"  threshold: {threshold!r}\n  is_silent: {str(silent).lower()}\n"
    )


def _entry(complaint: Complaint) -> BundleEntry | None:
    if complaint.bundle is None or complaint.version is None:
        return None
    entries = complaint.bundle.entries.filter(version=complaint.version, is_silent=False)
    return entries.select_related("version__detector").first()
