"""Complaints as pages and figures show them: never more than a page of rows, never a row that is not the reader's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import paging
from accounts.models import User
from detection.clock import Mark, Reading
from models_registry.models import Customer
from triage.models import Complaint, ComplaintState, DeadlineNotice, State
from triage.services import deadlines

PAGE = 50
ANSWERED = 25  # of a page, beside those that wait
COUNTED = 100  # open complaints, on the home page
SEARCHED = 2_000  # newest complaints whose words are read


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which complaints a reader asked for."""

    text: str = ""
    state: str = ""
    customer: int | None = None
    mine: bool = False

    @property
    def is_narrow(self) -> bool:
        return bool(self.text or self.state or self.customer or self.mine)


def wanted(told: Any) -> Wanted:
    """Return what a query string asks for; nonsense asks for nothing."""
    customer = told.get("customer", "")
    return Wanted(
        told.get("q", "").replace("\0", "").strip()[:200],
        told.get("state", "") if told.get("state") in State.values else "",
        paging.key_of(customer) or None,
        told.get("mine") == "1",
    )


def _matching(reader: User, asked: Wanted) -> Any:
    found = Complaint.objects.visible_to(reader).brief()
    if asked.customer is not None:
        found = found.filter(customer=asked.customer)
    if asked.state:
        found = found.filter(state=asked.state)
    if asked.mine:
        found = found.filter(filed_by=reader)
    if asked.text:
        found = found.filter(_says(asked.text))
    return found


def _says(text: str) -> Q:
    number = text.upper().removeprefix("C-").removeprefix("#")
    if key := paging.key_of(number):
        return Q(pk=key)
    newest = Complaint.objects.order_by("-id").values("pk")[:SEARCHED]
    words = Q(contact__icontains=text) | Q(flagged__icontains=text) | Q(note__icontains=text)
    return Q(customer__name__icontains=text) | Q(detector__name__icontains=text) | (Q(pk__in=newest) & words)


def unanswered(reader: User, asked: Wanted | None = None) -> list[Complaint]:
    """Return the complaints whose customer has no answer: running clocks first, the nearest deadline on top."""
    return list(deadlines.nearest_first(_matching(reader, asked or Wanted()).filter(told_at=None))[:PAGE])


def answered_page(reader: User, before: str = "", asked: Wanted | None = None) -> tuple[list[Complaint], str]:
    """Return answered complaints, newest first, and the key that starts the next page."""
    found = _matching(reader, asked or Wanted()).filter(told_at__isnull=False).order_by("-id")
    return paging.page(found, before, ANSWERED)


@dataclass(frozen=True, slots=True)
class Figures:
    """What the home page tells of complaints."""

    open: int  # no fix is published and no rejection was sent
    more: bool  # only so many are counted
    nearest: Complaint | None  # the running one that is due first
    reading: Reading | None
    warned: int = 0  # of the open ones, by notices
    breached: int = 0


def figures(reader: User) -> Figures:
    """Return how many false positives are open, and the nearest deadline."""
    waiting = Complaint.objects.visible_to(reader).filter(told_at=None, deadline__stopped_at=None)
    found = list(deadlines.nearest_first(waiting).values_list("pk", "deadline_id")[: COUNTED + 1])
    running = Complaint.objects.brief().filter(pk=found[0][0], deadline__paused_at=None) if found else ()
    nearest = next(iter(running), None)
    clocks = [clock for _pk, clock in found]
    passed = Counter(DeadlineNotice.objects.filter(deadline__in=clocks).values_list("kind", flat=True))
    return Figures(
        open=min(len(found), COUNTED),
        more=len(found) > COUNTED,
        nearest=nearest,
        reading=nearest.reading if nearest else None,
        warned=passed[Mark.WARNING] - passed[Mark.BREACH],
        breached=passed[Mark.BREACH],
    )


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


# --- how long it takes ---------------------------------------------------------------------------------------------

STAGES = (
    (_("first look"), (State.REPRODUCED, State.CONFIRMED, State.REJECTED, State.NEEDS_INFORMATION)),
    (_("verdict"), (State.CONFIRMED, State.REJECTED)),
    (_("fix"), (State.FIXED_IN_BUNDLE,)),
    (_("published"), (State.PUBLISHED,)),
    (_("told"), (State.TOLD,)),
)
MEASURED = 2_000  # newest complaints


@dataclass(frozen=True, slots=True)
class Took:
    """Hours from receipt to one stage, over the complaints that reached it."""

    title: Promise
    count: int
    p50: float
    p90: float
    p99: float


def times(reader: User, customer: Customer | None = None) -> list[Took]:
    """Return how long complaints took to each stage: rows of states, so that nothing is overwritten."""
    visible = Complaint.objects.visible_to(reader)
    newest = (visible.filter(customer=customer) if customer else visible).order_by("-id")[:MEASURED]
    received = dict(newest.values_list("pk", "received_at"))
    ends = {state for _title, states in STAGES for state in states}
    rows = ComplaintState.objects.filter(complaint__in=newest.values("pk"), state__in=ends).order_by("id")
    reached: list[dict[int, float]] = [{} for _stage in STAGES]
    for pk, state, at in rows.values_list("complaint_id", "state", "at"):
        for at_stage, (_title, states) in enumerate(STAGES):
            if state in states and pk in received:
                reached[at_stage].setdefault(pk, max((at - received[pk]).total_seconds() / 3600, 0.0))
    return [_took(title, sorted(hours.values())) for (title, _s), hours in zip(STAGES, reached, strict=True) if hours]


def _took(title: Promise, hours: Sequence[float]) -> Took:
    def percentile(share: float) -> float:
        return hours[min(len(hours) - 1, int(share * len(hours)))]

    return Took(title, len(hours), percentile(0.5), percentile(0.9), percentile(0.99))


@dataclass(frozen=True, slots=True)
class Tally:
    """How complaints about one thing ended."""

    name: str
    complaints: int
    confirmed: int
    rejected: int
    breached: int


def tallies(reader: User) -> dict[str, list[Tally]]:
    """Return the complaints per customer, per version and per reason, of the newest MEASURED."""
    newest = Complaint.objects.visible_to(reader).order_by("-id")[:MEASURED].values("pk")
    rows = list(
        Complaint.objects.filter(pk__in=newest).values_list(
            "pk", "customer__name", "detector__name", "version__number", "deadline"
        )
    )
    decisions = ComplaintState.objects.filter(complaint__in=newest, state__in=(State.CONFIRMED, State.REJECTED))
    told = list(decisions.values_list("complaint", "state", "reason"))
    decided = {pk: state for pk, state, _reason in told}
    why = {pk: reason for pk, state, reason in told if state == State.CONFIRMED}
    clocks = [row[-1] for row in rows]
    late = set(DeadlineNotice.objects.filter(kind=Mark.BREACH, deadline__in=clocks).values_list("deadline", flat=True))
    by: dict[str, dict[str, list[int]]] = {"customer": {}, "version": {}, "reason": {}}
    for pk, customer, detector, number, clock in rows:
        said, is_late = decided.get(pk), clock in late
        names = {"customer": customer, "version": f"{detector}:{number}" if detector else "–"}
        if pk in why:
            names["reason"] = why[pk].partition(" · ")[0] or "–"
        for kind, name in names.items():
            counts = by[kind].setdefault(name, [0, 0, 0, 0])
            for at, is_one in enumerate((True, said == State.CONFIRMED, said == State.REJECTED, is_late)):
                counts[at] += is_one
    return {
        kind: sorted((Tally(name, *counts) for name, counts in found.items()), key=lambda one: -one.complaints)[:50]
        for kind, found in by.items()
    }
