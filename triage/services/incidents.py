"""Incidents: opened by the counts of the field, acknowledged and closed by people, mitigated by a publication."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from detection.clock import Terms
from detection.divergence import POLICY
from detection.texts import storable
from labeling.services import priorities
from models_registry.models import Bundle, BundleEntry, Customer, Publication, Version
from models_registry.services import holds, publications
from triage.models import (
    Closing,
    DivergenceDay,
    Incident,
    IncidentState,
    IncidentStep,
    Stream,
    StreamDay,
    StreamRestart,
    TelemetryWindow,
    Topic,
)
from triage.services import announcements, deadlines

UNSEEN = timedelta(hours=12)  # after that an incident that nobody acknowledged is told to everybody above
LONGEST_REASON = 2_000
RELEARNS = (Closing.NEW_NORMAL, Closing.HEURISTICS_CHANGED)


class IncidentRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Nothing was written; the message says why, for the person who asked."""


# --- what the statistics say ---------------------------------------------------------------------------------------


def frozen(streams: Sequence[int], day: date) -> list[bool]:
    """Say of each stream whether an incident was open on a day: its reference learns nothing then."""
    over = Q(closed_day=None) | Q(closed_day__gte=day)
    held = set(Incident.objects.filter(over, opened_day__lt=day).values_list("stream", flat=True))
    return [stream in held for stream in streams]


def hear(row: StreamDay, night: DivergenceDay) -> bool:
    """Take a period in alarm: its stream's open incident is told, or one is opened. Say whether one was."""
    stream = row.stream
    if stream.kind == Stream.Kind.MISS and not row.is_up:
        return False  # rules that know less are good to know, and no emergency
    current = _current(stream, row.is_up)
    if current is not None:
        if row.day >= current.last_day:
            _tell(current, row)
        return False
    dealt_with = Incident.objects.filter(_about(stream, row.is_up), closed_day__gte=row.day).exists()
    if not row.is_ticket or dealt_with:
        return False
    _open(stream.version, stream.customer, stream, _figures(row), night)
    return True


def together(rows: Sequence[StreamDay], day: date, night: DivergenceDay) -> bool:
    """Put the incidents of several customers under one of the fleet. Say whether it is new."""
    stream, is_up = rows[0].stream, rows[0].is_up
    if stream.kind == Stream.Kind.MISS and not is_up:
        return False
    fleet = Stream.objects.filter(customer=None, version=stream.version_id, kind=stream.kind).first()
    mine = Incident.objects.unclosed().filter(customer=None, version=stream.version_id, kind=stream.kind, is_up=is_up)
    found = mine.first()
    is_new = found is None
    if found is None:
        x, n = sum(row.changed_x for row in rows), sum(row.changed_n for row in rows)
        mu = sum(row.mu * row.changed_n for row in rows) / max(n, 1)
        share = (x + 0.5) / (n + 1)
        figures = {
            "kind": stream.kind,
            "is_up": is_up,
            "since": min(row.since or row.day for row in rows),
            "odds_ratio": share / (1 - share) * (1 - mu) / mu,
            "mu": mu,
            "changed_x": x,
            "changed_n": n,
            "statistic": max(row.statistic for row in rows),
            "opened_day": day,
            "last_day": day,
        }
        free = fleet if fleet and not Incident.objects.unclosed().filter(stream=fleet).exists() else None
        found = _open(stream.version, None, free, figures, night)
    _attach(found)
    return is_new


def closed_of_fleet(version: int, kind: str, is_up: bool) -> date | None:
    """Return the newest period that a closed incident of the fleet has dealt with."""
    closed = Incident.objects.filter(customer=None, version=version, kind=kind, is_up=is_up, closed_day__isnull=False)
    return closed.order_by("-closed_day").values_list("closed_day", flat=True).first()


def _about(stream: Stream, is_up: bool) -> Q:
    if stream.customer_id is not None:
        return Q(stream=stream)
    return Q(stream=stream) | Q(customer=None, version=stream.version_id, kind=stream.kind, is_up=is_up)


def _current(stream: Stream, is_up: bool) -> Incident | None:
    return Incident.objects.unclosed().filter(_about(stream, is_up)).order_by("-stream").first()


def _figures(row: StreamDay) -> dict[str, Any]:
    assert row.odds_ratio is not None  # it was tested
    return {
        "kind": row.stream.kind,
        "is_up": row.is_up,
        "since": row.since or row.day,
        "odds_ratio": row.odds_ratio,
        "mu": row.mu,
        "changed_x": row.changed_x,
        "changed_n": row.changed_n,
        "statistic": row.statistic,
        "opened_day": row.day,
        "last_day": row.day,
    }


def _tell(incident: Incident, row: StreamDay) -> None:
    told = _figures(row)
    told.pop("opened_day")
    told.pop("kind")
    if incident.is_fleet:
        told.pop("is_up")
    Incident.objects.filter(pk=incident.pk).update(**told)


@transaction.atomic
def _open(
    version: Version, customer: Customer | None, stream: Stream | None, figures: dict[str, Any], night: DivergenceDay
) -> Incident:
    now = timezone.now()
    threshold = _threshold(version, customer, figures["opened_day"])
    made = Incident.objects.create(
        stream=stream,
        customer=customer,
        detector=version.detector,
        version=version,
        deadline=deadlines.start(now, Terms()),
        needed=night.needed,
        policy=asdict(POLICY),
        threshold=threshold,
        opened_at=now,
        **figures,
    )
    IncidentStep.objects.create(incident=made, state=IncidentState.OPEN, at=now)
    whom = _("all customers") if customer is None else customer.name
    held_at = version.threshold if threshold is None else threshold
    holds.place(version, held_at, made.number, f"counts of {whom} changed on {made.since}")
    priorities.raise_items(version, made.number)
    audit.record(None, "incident.opened", made.number, version=str(version), customer=whom)
    announcements.of_incident(made, Topic.INCIDENT_OPENED, announcements.watchers(customer))
    announcements.of_incident(made, Topic.INCIDENT_KIT, announcements.servants(customer))
    if customer is not None:
        above = (
            Incident.objects.unclosed().filter(customer=None, version=version, kind=made.kind, is_up=made.is_up).first()
        )
        if above is not None:
            _attach(above)
    return made


def _attach(fleet: Incident) -> None:
    alone = Incident.objects.unclosed().filter(
        customer__isnull=False, fleet=None, version=fleet.version_id, kind=fleet.kind, is_up=fleet.is_up
    )
    alone.update(fleet=fleet)


def _threshold(version: Version, customer: Customer | None, day: date) -> float | None:
    """Return the threshold at which the newest bundle that counted the version asks it."""
    windows = TelemetryWindow.objects.filter(day__lte=day, replaced_at=None, bundle__entries__version=version)
    if customer is not None:
        windows = windows.filter(customer=customer)
    newest = windows.order_by("-day", "-hour").values_list("bundle", flat=True).first()
    entry = BundleEntry.objects.filter(bundle=newest, version=version).first() if newest else None
    return entry.threshold if entry else None


def bundle_of(incident: Incident) -> Bundle | None:
    """Return the newest bundle that counted the version there: what a stop-gap starts from."""
    windows = TelemetryWindow.objects.filter(replaced_at=None, bundle__entries__version=incident.version_id)
    if incident.customer_id is not None:
        windows = windows.filter(customer=incident.customer_id)
    newest = windows.order_by("-day", "-hour").select_related("bundle").first()
    return newest.bundle if newest else None


# --- what people do ------------------------------------------------------------------------------------------------


@transaction.atomic
def acknowledge(incident: Incident, by: User, note: str = "") -> Incident:
    """Say that somebody is at it. The clock runs on. Raises IncidentRefused."""
    held = _held(incident)
    if held.state != IncidentState.OPEN:
        raise IncidentRefused(_("%(number)s is %(state)s.") % _named(held))
    return _enter(held, IncidentState.ACKNOWLEDGED, by=by, reason=storable(note.strip(), LONGEST_REASON))


@transaction.atomic
def close(incident: Incident, closing: str, reason: str, by: User) -> Incident:
    """End an incident, with those under it; what was chosen says what becomes of their streams. IncidentRefused."""
    held = _held(incident)
    words = storable(reason.strip(), LONGEST_REASON)
    if closing not in Closing.values:
        raise IncidentRefused(_("Choose why it is over."))
    if not words:
        raise IncidentRefused(_("Nothing closes without a reason."))
    if held.state == IncidentState.CLOSED:
        raise IncidentRefused(_("%(number)s is %(state)s.") % _named(held))
    if closing == Closing.MODEL_FIXED and held.state != IncidentState.MITIGATED:
        raise IncidentRefused(
            _("No fix of %(number)s is published to the customer yet: the model is not fixed.") % _named(held)
        )
    ended = _and_under(held)
    for one in ended:
        _end(one, Closing(closing), words, by)
    for stream in _streams_of(ended, Closing(closing)):
        _restart(stream, Closing(closing))
    audit.record(by, "incident.closed", held.number, closing=closing)
    return held


def _and_under(incident: Incident) -> list[Incident]:
    under = Incident.objects.unclosed().filter(fleet=incident).select_related("deadline", "stream", "version")
    return [incident, *under.order_by("pk")]


def _streams_of(ended: Iterable[Incident], closing: Closing) -> QuerySet[Stream]:
    """Return the streams that begin anew: the incidents' own; all of their customers where their rules changed."""
    mine = {one.stream_id for one in ended if one.stream_id}
    found = Q(pk__in=mine)
    for one in ended:
        if one.customer_id is None:
            found |= Q(customer=None, version=one.version_id, kind=one.kind)
        elif closing is Closing.HEURISTICS_CHANGED:
            found |= Q(customer=one.customer_id)
    return Stream.objects.filter(found, last_day__isnull=False)


def _restart(stream: Stream, closing: Closing) -> None:
    assert stream.last_day is not None
    relearns = closing in RELEARNS
    StreamRestart.objects.create(stream=stream, after=stream.last_day, reference=relearns, reason=closing)
    if relearns:
        Stream.objects.filter(pk=stream.pk).update(is_fitted=False, volume=None)


def _end(incident: Incident, closing: Closing, reason: str, by: User) -> None:
    now = timezone.now()
    deadlines.stop(incident.deadline, now, closing)
    _enter(incident, IncidentState.CLOSED, by=by, closing=closing, reason=reason, at=now)
    newest = incident.stream.last_day if incident.stream else None
    Incident.objects.filter(pk=incident.pk).update(
        closing=closing, closed_day=max(newest or incident.last_day, incident.last_day)
    )
    holds.lift(incident.number)
    priorities.lift(incident.version, incident.number)
    announcements.of_incident(incident, Topic.INCIDENT_CLOSED)


def _held(incident: Incident) -> Incident:
    rows = Incident.objects.select_for_update(of=("self",))
    return rows.select_related("deadline", "version__detector", "customer", "stream").get(pk=incident.pk)


def _named(incident: Incident) -> dict[str, str]:
    return {"number": incident.number, "state": str(IncidentState(incident.state).label)}


def _enter(incident: Incident, state: IncidentState, *, at: datetime | None = None, **facts: Any) -> Incident:
    at = at or timezone.now()
    IncidentStep.objects.create(incident=incident, state=state, at=at, **facts)
    column = f"{state.value}_at"
    Incident.objects.filter(pk=incident.pk).update(state=state, **{column: at})
    incident.state = state
    setattr(incident, column, at)
    return incident


# --- what the clock and publications do ----------------------------------------------------------------------------


def follow(now: datetime | None = None) -> int:
    """Look for the publications that mitigate incidents, and tell of those that nobody acknowledges."""
    now = now or timezone.now()
    waiting = Incident.objects.unclosed().filter(mitigated_at=None)
    found = waiting.select_related("deadline", "version__detector", "customer").order_by("customer", "pk")
    single = [one for one in found if one.customer_id is not None]
    done = sum(_follow(one) for one in single)
    done += sum(_follow_fleet(one) for one in found if one.customer_id is None)
    unseen = Incident.objects.filter(state=IncidentState.OPEN, opened_at__lte=now - UNSEEN)
    return done + sum(
        announcements.of_incident(one, Topic.INCIDENT_UNSEEN, announcements.watchers(one.customer, above=True))
        for one in unseen.select_related("version__detector", "customer", "deadline")
    )


def _follow(incident: Incident) -> bool:
    assert incident.customer is not None
    fix = fix_of(incident, incident.customer)
    return fix is not None and _mitigate(incident, fix.published_at, fix)


def _follow_fleet(incident: Incident) -> bool:
    """A fleet's incident is mitigated with the last one under it."""
    under = [one.mitigated_at or one.closed_at for one in incident.attached.all()]
    over = [at for at in under if at is not None]
    return bool(over) and len(over) == len(under) and _mitigate(incident, max(over), None)


@transaction.atomic
def _mitigate(incident: Incident, at: datetime, fix: Publication | None) -> bool:
    held = _held(incident)
    if held.mitigated_at is not None or held.state == IncidentState.CLOSED:
        return False
    at = max(at, held.opened_at)
    deadlines.stop(held.deadline, at, IncidentState.MITIGATED)
    _enter(held, IncidentState.MITIGATED, at=at, bundle=fix.bundle if fix else None)
    Incident.objects.filter(pk=held.pk).update(mitigated_by=fix.bundle if fix else None)
    audit.record(None, "incident.mitigated", held.number, bundle=str(fix.bundle) if fix else "")
    announcements.of_incident(held, Topic.INCIDENT_MITIGATED)
    return True


def fix_of(incident: Incident, customer: Customer) -> Publication | None:
    """Return the publication by which the version no longer speaks as it did, on every channel the customer hears."""
    found = [_newest(incident, customer, channel) for channel in publications.channels_of(customer)]
    if any(one is None or _speaks(one, incident) for one in found):
        return None
    return max((one for one in found if one), key=lambda one: one.published_at)


def _newest(incident: Incident, customer: Customer, channel: str) -> Publication | None:
    reaching = Publication.objects.reaching(customer, channel, incident.detector.protocol)
    return reaching.select_related("bundle").first()


def _speaks(publication: Publication, incident: Incident) -> bool:
    """Whether a bundle has the version loud, at the threshold that the incident is about."""
    entry = publication.bundle.entries.filter(version=incident.version_id, is_silent=False).first()
    return entry is not None and (incident.threshold is None or entry.threshold == incident.threshold)
