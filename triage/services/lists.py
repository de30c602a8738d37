"""Complaints as pages and figures show them: never more than a page of rows, never a row that is not the reader's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import paging
from accounts.models import User
from detection import clock
from detection.clock import Mark, Reading, Terms
from models_registry.models import Customer
from triage.models import Complaint, ComplaintState, DeadlineNotice, State
from triage.models.complaints import number_of
from triage.services import deadlines

PAGE = 50
ANSWERED = 25  # of a page, beside those that wait
COUNTED = 100  # open complaints, on the home page
ALIKE = 20  # of one case, on a complaint's page
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


@dataclass(frozen=True, slots=True)
class Line:
    """A complaint as lists show it: words and no rows, a hundred of them are drawn in a moment."""

    pk: int
    url: str
    state: str
    received: str  # in the reader's zone
    customer: str
    detector: str | None
    bundle: str | None
    reading: Reading

    @property
    def number(self) -> str:
        return number_of(self.pk)


_CLOCK = [f"deadline__{name}" for name in ("terms", "due_at", "stopped_at", "paused_at")]
_SHOWN = ("pk", "state", "received_at", "customer__name", "detector__name", "bundle__digest", *_CLOCK)


def lines(found: Any) -> list[Line]:
    """Return complaints as lines, in their order."""
    return _drawn(found.values_list(*_SHOWN))


def _drawn(rows: Iterable[Sequence[Any]]) -> list[Line]:
    now, zone = timezone.now(), timezone.get_current_timezone()
    before, after = reverse("triage:complaint", args=[0]).split("0")  # one look-up for all of them
    names: dict[str, str] = {value: str(name) for value, name in State.choices}
    drawn = []
    for pk, state, at, customer, detector, digest, terms, due, stopped, paused in rows:
        warn = Terms.from_dict(terms).warn_before
        drawn.append(
            Line(
                pk=pk,
                url=f"{before}{pk}{after}",
                state=names[state],
                received=f"{at.astimezone(zone):%Y-%m-%d %H:%M}",
                customer=customer,
                detector=detector,
                bundle=digest and digest[:12],
                reading=clock.reading(due, stopped, now, paused_at=paused, warn_before=warn),
            )
        )
    return drawn


def _matching(reader: User, asked: Wanted) -> Any:
    found = Complaint.objects.visible_to(reader)
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


def unanswered(reader: User, asked: Wanted | None = None) -> list[Line]:
    """Return the complaints whose customer has no answer: running clocks first, the nearest deadline on top."""
    return lines(deadlines.nearest_first(_matching(reader, asked or Wanted()).filter(told_at=None))[:PAGE])


def waiting_of(customers: QuerySet[Customer]) -> dict[int, int]:
    """Return how many complaints wait for an answer, by customer; who has none that waits is left out."""
    found = Complaint.objects.unanswered().filter(customer__in=customers.order_by().values("pk")).order_by()
    return dict(found.values_list("customer").annotate(n=Count("pk")))


def answered_page(reader: User, before: str = "", asked: Wanted | None = None) -> tuple[list[Line], str]:
    """Return answered complaints, newest first, and the key that starts the next page."""
    found = _matching(reader, asked or Wanted()).filter(told_at__isnull=False).order_by("-id")
    rows, older = paging.page(found.values_list(*_SHOWN, named=True), before, ANSWERED)
    return _drawn(rows), older


def alike(complaint: Complaint, reader: User) -> list[Line]:
    """Return the other complaints of the same case that a reader may see, newest first."""
    if complaint.case_id is None:
        return []
    visible = Complaint.objects.visible_to(reader).filter(case=complaint.case_id).exclude(pk=complaint.pk)
    return lines(visible.order_by("-id")[:ALIKE])


@dataclass(frozen=True, slots=True)
class Figures:
    """What the home page tells of complaints."""

    open: int  # no fix is published and no rejection was sent
    more: bool  # only so many are counted
    nearest: Line | None  # the running one that is due first
    warned: int = 0  # of the open ones, by notices
    breached: int = 0


def figures(reader: User) -> Figures:
    """Return how many false positives are open, and the nearest deadline."""
    waiting = Complaint.objects.visible_to(reader).filter(told_at=None, deadline__stopped_at=None)
    found = list(deadlines.nearest_first(waiting).values_list("pk", "deadline_id")[: COUNTED + 1])
    running = lines(Complaint.objects.filter(pk=found[0][0], deadline__paused_at=None)) if found else []
    clocks = [clock for _pk, clock in found]
    passed = Counter(DeadlineNotice.objects.filter(deadline__in=clocks).values_list("kind", flat=True))
    return Figures(
        open=min(len(found), COUNTED),
        more=len(found) > COUNTED,
        nearest=running[0] if running else None,
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
    received = dict(_newest(reader, customer).values_list("pk", "received_at"))
    return _times(received, _steps(received))


def _newest(reader: User, customer: Customer | None = None) -> Any:
    visible = Complaint.objects.visible_to(reader)
    return (visible.filter(customer=customer) if customer else visible).order_by("-id")[:MEASURED]


def _steps(complaints: Iterable[int]) -> list[tuple[int, str, datetime, str]]:
    """Return the steps of complaints that end a stage, in their order.

    Their keys are named: how few a query gives PostgreSQL cannot know, and reads all steps there are."""
    ends = {state for _title, states in STAGES for state in states}
    rows = ComplaintState.objects.filter(complaint__in=list(complaints), state__in=ends).order_by("id")
    return list(rows.values_list("complaint_id", "state", "at", "reason"))


def _times(received: dict[int, datetime], steps: Iterable[tuple[int, str, datetime, str]]) -> list[Took]:
    reached: list[dict[int, float]] = [{} for _stage in STAGES]
    ends_of = {state: [at for at, (_t, states) in enumerate(STAGES) if state in states] for state in State.values}
    for pk, state, at, _reason in steps:
        if pk in received:
            for stage in ends_of[state]:
                if pk not in reached[stage]:
                    reached[stage][pk] = max((at - received[pk]).total_seconds() / 3600, 0.0)
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


def measured(reader: User) -> tuple[list[Took], dict[str, list[Tally]]]:
    """Return how long the newest MEASURED complaints took, and how they ended: one look at their rows for both."""
    named = ("pk", "received_at", "customer__name", "detector__name", "version__number", "deadline_id")
    rows = list(_newest(reader).values_list(*named))
    received = {row[0]: row[1] for row in rows}
    steps = _steps(received)
    breaches = DeadlineNotice.objects.filter(kind=Mark.BREACH, deadline__in=[row[-1] for row in rows])
    late = set(breaches.values_list("deadline_id", flat=True))
    return _times(received, steps), _tallies(rows, steps, late)


def _tallies(rows: Iterable[Sequence[Any]], steps: Iterable[Sequence[Any]], late: set[int]) -> dict[str, list[Tally]]:
    """Count complaints per customer, per version and per reason."""
    decided = {pk: (state, reason) for pk, state, _at, reason in steps if state in (State.CONFIRMED, State.REJECTED)}
    by: dict[str, dict[str, list[int]]] = {"customer": {}, "version": {}, "reason": {}}
    for pk, _received, customer, detector, number, clock_of in rows:
        said, reason = decided.get(pk, ("", ""))
        names = {"customer": customer, "version": f"{detector}:{number}" if detector else "–"}
        if said == State.CONFIRMED:
            names["reason"] = reason.partition(" · ")[0] or "–"
        told = (True, said == State.CONFIRMED, said == State.REJECTED, clock_of in late)
        for kind, name in names.items():
            counts = by[kind].setdefault(name, [0, 0, 0, 0])
            for at, is_one in enumerate(told):
                counts[at] += is_one
    return {
        kind: sorted((Tally(name, *counts) for name, counts in found.items()), key=lambda one: -one.complaints)[:50]
        for kind, found in by.items()
    }
