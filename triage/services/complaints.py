"""Complaints from receipt to answer. The only code that writes their states; nothing closes without an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.services import audit
from detection.contract import encode
from detection.fingerprint import shape_of
from detection.sessions import Row
from detection.thresholds import raw_threshold
from labeling.models import Item
from labeling.services import complaints as items
from labeling.services import retrains
from labeling.services.records import from_json, storable, stored_row, to_json
from labeling.services.verdicts import verdict_of
from models_registry.models import Bundle, Customer, Detector, Site, Stage, Version
from models_registry.services import versions
from triage.models import Complaint, ComplaintNotice, ComplaintState, Notice, State
from triage.services import clock, deadlines, flagged
from triage.services.flagged import CannotScore, Said, Scored

# state → states that may follow; told ends it
NEXT: dict[State, tuple[State, ...]] = {
    State.RECEIVED: (State.REPRODUCED, State.CONFIRMED, State.REJECTED, State.NEEDS_INFORMATION),
    State.REPRODUCED: (State.CONFIRMED, State.REJECTED, State.NEEDS_INFORMATION),
    State.NEEDS_INFORMATION: (State.RECEIVED,),
    State.CONFIRMED: (State.FIX_IN_CANDIDATE, State.FIXED_IN_BUNDLE),
    State.FIX_IN_CANDIDATE: (State.FIXED_IN_BUNDLE,),
    State.FIXED_IN_BUNDLE: (State.PUBLISHED,),
    State.PUBLISHED: (State.TOLD,),
    State.REJECTED: (State.TOLD,),
    State.TOLD: (),
}
HOLDS_THE_CLOCK = (State.NEEDS_INFORMATION, State.PUBLISHED, State.TOLD)
WAITS_FOR_FIX = (State.CONFIRMED, State.FIX_IN_CANDIDATE)
LONGEST_TEXT = 10_000


class ComplaintRefused(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """Nothing was written; the message says why, for the person who asked."""


@dataclass(frozen=True, slots=True)
class Details:
    """What may come later: everything but customer, what was flagged, and contact."""

    bundle: Bundle | None = None  # the newest, when not named
    detector: Detector | None = None  # the surest, when not named
    site: Site | None = None
    score_told: str = ""
    note: str = ""
    received_at: datetime | None = None


def newest_bundle() -> Bundle | None:
    """Return the bundle a customer runs unless he says otherwise."""
    return Bundle.objects.order_by("-id").first()


def preview(pasted: str, details: Details) -> tuple[Scored, Said]:
    """Score what was pasted without keeping anything. Raises CannotScore."""
    bundle = details.bundle or newest_bundle()
    if bundle is None:
        raise CannotScore(_("There is no bundle yet: nothing can have been flagged at a customer."))
    scored = flagged.score(pasted, bundle, details.received_at or timezone.now())
    return scored, scored.of(details.detector)


def file(customer: Customer, pasted: str, contact: str, by: User, details: Details | None = None) -> Complaint:
    """Take a complaint in: scored at once, an item on top of its queue, due 24 hours after receipt.

    Raises CannotScore, ComplaintRefused."""
    details = details or Details()
    _refuse_details(customer, contact, details)
    scored, said = preview(pasted, details)
    with transaction.atomic():
        complaint = _complaint(customer, pasted, contact, by, details, scored, said)
        _ask_expert(complaint, scored, said, pasted, by)
        audit.record(by, "complaint.filed", complaint.number, customer=customer.name, bundle=str(scored.bundle))
    return complaint


@transaction.atomic
def add_information(complaint: Complaint, text: str, by: User, pasted: str = "") -> Item:
    """Give the expert what was missing, in words or as a fuller record; a new item asks again.

    Raises CannotScore, ComplaintRefused."""
    words = _words(text, _("Say what the customer told."))
    scored = _again(complaint, pasted)
    said = scored.of(complaint.detector)
    item = _ask_expert(complaint, scored, said, pasted or complaint.flagged, by, reason=words)
    audit.record(by, "complaint.information-added", complaint.number)
    return item


@transaction.atomic
def publish(complaint: Complaint, by: User) -> ComplaintState:
    """Record that the fixing bundle is published to the customer's channel: the clock stops. ComplaintRefused."""
    fix = complaint.states.filter(state=State.FIXED_IN_BUNDLE).first()
    entered = _enter(complaint, State.PUBLISHED, by=by, bundle=fix.bundle if fix else None)
    audit.record(by, "complaint.published", complaint.number, bundle=str(entered.bundle))
    return entered


@transaction.atomic
def tell(complaint: Complaint, answer: str, by: User) -> ComplaintState:
    """Record what the customer was told: the only way to close a complaint. Raises ComplaintRefused."""
    entered = _enter(complaint, State.TOLD, by=by, reason=_words(answer, _("Nothing closes without an answer.")))
    audit.record(by, "complaint.told", complaint.number)
    return entered


def collect() -> int:
    """Take the experts' answers: confirm or reject. A confirmed one enters the reference set and asks for a candidate.

    Returns how many were taken. Running twice, or in two processes, changes nothing."""
    taken = sum(_collect(item) for item in items.answered())
    retrains.start_asked()
    return taken


@transaction.atomic
def _collect(complaint_item: Any) -> bool:
    said = items.take(complaint_item)
    if said is None:
        return False
    complaint = ComplaintState.objects.get(item=complaint_item.pk, state=State.RECEIVED).complaint
    if said.confirms:
        _enter(complaint, State.CONFIRMED, by=said.label.expert, reason=said.reason)
        items.admit(complaint_item.item)
        retrains.ask(complaint.detector, f"{complaint.number} of {complaint.customer} is confirmed")
    elif said.rejects:
        _enter(complaint, State.REJECTED, by=said.label.expert, reason=said.reason or _("no reason was written"))
    else:
        _enter(complaint, State.NEEDS_INFORMATION, by=said.label.expert, reason=said.reason or _("cannot tell"))
    return True


def follow() -> int:
    """Look for the candidate and the bundle that fix each confirmed complaint; return how many steps were found."""
    open_ones: Any = Complaint.objects.with_state()
    waiting = open_ones.filter(state__in=WAITS_FOR_FIX).select_related("detector", "bundle")
    return sum(_follow(complaint) for complaint in waiting)


def _follow(complaint: Any) -> int:
    row = from_json(complaint.row)
    steps = 0
    if complaint.state == State.CONFIRMED and (version := _fixing_version(complaint, row)) is not None:
        steps += _found(complaint, State.FIX_IN_CANDIDATE, version=version)
    if (bundle := _fixing_bundle(complaint, row)) is not None:
        steps += _found(complaint, State.FIXED_IN_BUNDLE, bundle=bundle)
    return steps


def _found(complaint: Complaint, state: State, **fix: Any) -> bool:
    try:
        _enter(complaint, state, **fix)
    except ComplaintRefused:  # another process found it
        return False
    return True


def _fixing_version(complaint: Complaint, row: Row) -> Version | None:
    """Return the first version made since the confirmation that does not flag the session."""
    since = complaint.states.get(state=State.CONFIRMED).at
    made = complaint.detector.versions.filter(created_at__gt=since).exclude(stage=Stage.RETIRED).order_by("number")
    return next((version for version in made.select_related("detector") if _raw(version, row) < _limit(version)), None)


def _fixing_bundle(complaint: Complaint, row: Row) -> Bundle | None:
    """Return the first bundle made since that holds the detector and does not say so any more."""
    later = Bundle.objects.filter(pk__gt=complaint.bundle_id, entries__version__detector=complaint.detector)
    name = complaint.detector.name
    return next((one for one in later.distinct().order_by("id") if name not in flagged.score_row(row, one).fired), None)


def _raw(version: Version, row: Row) -> float:
    columns = {name: [value] for name, value in row.items()}
    return float(versions.scorer(version).raw(encode(versions.contract(version), columns))[0])


def _limit(version: Version) -> float:
    return raw_threshold(version.threshold)


def _enter(complaint: Complaint, new: State, **facts: Any) -> ComplaintState:
    """Write a step if the state allows it; whoever comes second is refused."""
    Complaint.objects.select_for_update().get(pk=complaint.pk)
    now = state_of(complaint)
    if now is not None and new not in NEXT[now]:
        raise ComplaintRefused(
            _("%(number)s is %(now)s: it cannot become %(new)s.")
            % {"number": complaint.number, "now": now.label, "new": new.label}
        )
    if new in HOLDS_THE_CLOCK:
        deadlines.before_a_step(complaint, timezone.now())
    try:
        with transaction.atomic():
            return ComplaintState.objects.create(complaint=complaint, state=new, **facts)
    except IntegrityError:
        raise ComplaintRefused(
            _("%(number)s is %(new)s already.") % {"number": complaint.number, "new": new.label}
        ) from None


def state_of(complaint: Complaint) -> State | None:
    """Return the state a complaint is in."""
    newest = ComplaintState.objects.filter(complaint=complaint).order_by("-id").first()
    return State(newest.state) if newest else None


def reading(complaint: Any, now: datetime | None = None) -> clock.Reading:
    """Return what the clock of a complaint read `with_state` shows."""
    return clock.reading(complaint.due_now, complaint.stopped_at, now or timezone.now(), paused_at=complaint.paused_at)


def _complaint(
    customer: Customer, pasted: str, contact: str, by: User, details: Details, scored: Scored, said: Said
) -> Complaint:
    received = details.received_at or timezone.now()
    return Complaint.objects.create(
        customer=customer,
        site=details.site,
        bundle=scored.bundle,
        detector=said.detector,
        version=said.entry.version,
        flagged=storable(pasted),
        row=to_json(stored_row(scored.row)),
        shape=shape_of(scored.row),
        contact=storable(contact.strip(), 200),
        note=storable(details.note.strip(), LONGEST_TEXT),
        score_told=details.score_told.strip(),
        score=said.score,
        threshold=said.entry.threshold,
        reproduced=scored.reproduces(said, details.score_told),
        received_at=received,
        due_at=clock.due(received),
        filed_by=by,
    )


def _ask_expert(complaint: Complaint, scored: Scored, said: Said, raw: str, by: User, reason: str = "") -> Item:
    """Put an item on top of the detector's queue, and enter "received" with it."""
    if state_of(complaint) not in (None, State.NEEDS_INFORMATION):
        raise ComplaintRefused(_("%(number)s waits for no information.") % {"number": complaint.number})
    moved = _moved_deadline(complaint)
    item = items.add(
        items.Flagged(
            number=complaint.number,
            customer=complaint.customer.name,
            due_at=moved or complaint.due_at,
            row=scored.row,
            raw=raw,
            version=said.entry.version,
            score=said.score,
            threshold=said.entry.threshold,
            bars=_bars(scored, said.detector),
        )
    )
    _enter(complaint, State.RECEIVED, by=by, item=item, reason=reason, due_at=moved)
    if scored.reproduces(said, complaint.score_told):
        _enter(complaint, State.REPRODUCED)
    return item


def _moved_deadline(complaint: Complaint) -> datetime | None:
    """Return the deadline after a rest, None where the clock did not rest."""
    found: Any = Complaint.objects.with_state().get(pk=complaint.pk)
    return clock.resumed(found.due_now, found.paused_at, timezone.now()) if found.paused_at else None


def _bars(scored: Scored, detector: Detector) -> list[dict[str, Any]]:
    """Return what each version of the detector in the bundle says, as the labelling page draws it."""
    shown = [one for one in scored.said if one.detector == detector]
    raws = {one.entry.version_id: _raw(one.entry.version, scored.row) for one in shown}
    return [
        verdict_of(one.entry.version, raws[one.entry.version_id], one.entry.threshold, one.positive) for one in shown
    ]


def _again(complaint: Complaint, pasted: str) -> Scored:
    if pasted.strip():
        return flagged.score(pasted, complaint.bundle, complaint.received_at)
    return flagged.score_row(from_json(complaint.row), complaint.bundle)


def _refuse_details(customer: Customer, contact: str, details: Details) -> None:
    if not contact.strip():
        raise ComplaintRefused(_("Whom do we answer? Give a name, an address or a ticket number."))
    if details.site is not None and details.site.customer_id != customer.pk:
        raise ComplaintRefused(_("%(site)s is no site of %(customer)s.") % {"site": details.site, "customer": customer})
    if details.received_at is not None and details.received_at > timezone.now():
        raise ComplaintRefused(_("It cannot have been received in the future."))
    if details.score_told and flagged.score_told(details.score_told) is None:
        raise ComplaintRefused(_("“%(score)s” is no score: expected 0 to 1.") % {"score": details.score_told})


def _words(text: str, otherwise: str) -> str:
    if not (words := storable(text.strip(), LONGEST_TEXT)):
        raise ComplaintRefused(otherwise)
    return words


# --- lists and figures ---------------------------------------------------------------------------------------------

PAGE = 100


def unanswered() -> list[Any]:
    """Return the complaints whose customer has no answer: running clocks first, the nearest deadline on top."""
    return list(deadlines.nearest_first(_listed(Complaint.objects.unanswered()))[:PAGE])


def answered_page(before: str = "") -> tuple[list[Any], str]:
    """Return answered complaints, newest first, and the key that starts the next page."""
    found = _listed(Complaint.objects.with_state()).filter(state=State.TOLD).order_by("-id")
    if before.isdecimal() and len(before) < 19:
        found = found.filter(pk__lt=int(before))
    rows = list(found[: PAGE + 1])
    return rows[:PAGE], str(rows[PAGE - 1].pk) if len(rows) > PAGE else ""


def _listed(found: Any) -> QuerySet[Any]:
    listed: QuerySet[Any] = found.with_state().select_related("customer", "site", "detector", "bundle", "filed_by")
    return listed


@dataclass(frozen=True, slots=True)
class Figures:
    """What the home page tells of complaints."""

    open: int  # no fix is published and no rejection was sent
    more: bool  # only so many are counted
    nearest: Any | None  # the running one that is due first
    reading: clock.Reading | None
    warned: int = 0  # of the open ones, by notices
    breached: int = 0


def figures() -> Figures:
    """Return how many false positives are open, and the nearest deadline."""
    waiting = _listed(Complaint.objects.unanswered()).filter(stopped_at=None)
    found = list(deadlines.nearest_first(waiting)[: PAGE + 1])
    nearest = found[0] if found and found[0].paused_at is None else None
    passed = Counter(ComplaintNotice.objects.filter(complaint__in=found).values_list("kind", flat=True))
    return Figures(
        open=min(len(found), PAGE),
        more=len(found) > PAGE,
        nearest=nearest,
        reading=reading(nearest) if nearest else None,
        warned=passed[Notice.WARNING] - passed[Notice.BREACH],
        breached=passed[Notice.BREACH],
    )


def look_alikes(complaint: Complaint) -> list[Any]:
    """Return the newest complaints about sessions of the same look."""
    alike = Complaint.objects.filter(detector=complaint.detector, shape=complaint.shape).exclude(pk=complaint.pk)
    return list(_listed(alike)[:10])


def first(states: Iterable[ComplaintState], state: State) -> ComplaintState | None:
    """Return the first step into a state."""
    return next((step for step in states if step.state == state), None)


@dataclass(frozen=True, slots=True)
class Step:
    """One place on the state line of a page."""

    state: State
    at: datetime | None  # when it was entered, None: not yet

    @property
    def label(self) -> str:
        return str(self.state.label)


_FIXED = (State.CONFIRMED, State.FIX_IN_CANDIDATE, State.FIXED_IN_BUNDLE, State.PUBLISHED, State.TOLD)


def line(states: Iterable[ComplaintState]) -> list[Step]:
    """Return the way of a complaint: what it went through, and what lies ahead."""
    entered = {State(step.state): step.at for step in states}
    way = [State.RECEIVED, State.REPRODUCED]
    if State.REJECTED in entered:
        way += [State.REJECTED, State.TOLD]
    elif State.NEEDS_INFORMATION in entered and State.CONFIRMED not in entered:
        way += [State.NEEDS_INFORMATION, *_FIXED]
    else:
        way += _FIXED
    return [Step(state, entered.get(state)) for state in way]
