"""Made-up figures for the component page, in the shapes that the partials of real pages take. Nothing is stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from detection.clock import Clock, Reading
from detection.proof import Proof
from detection.selection import Cell
from jobs.models import Job, Line, State
from models_registry import charts
from models_registry.models import Customer, Detector, Version
from models_registry.services.boards import Bar, Board, BoardCell, Gain
from triage.models import Entity, RiskNight, Stream, StreamDay
from triage.services.home import Challenge, Precision
from triage.services.risk import pictures
from triage.services.risk.pages import DayOf, Portrait
from triage.services.telemetry.pages import Multiple
from triage.services.telemetry.pictures import small

NOWHERE = 10**15  # key of rows that do not exist: links of examples lead nowhere
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ShownJob:
    """A job as the page of jobs shows it."""

    job: Job
    expected_end: datetime | None = None
    left: timedelta | None = None
    took: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A detector's row on the home page, without queues."""

    queue: None = None
    missed: None = None


class ExampleForm(forms.Form):
    """One field of each kind; sent empty, so that it also shows an error."""

    name = forms.CharField(label=_("Name"), help_text=_("What the field wants, in one line."))
    kind = forms.ChoiceField(label=_("Choice"), choices=[("a", "http-attacks"), ("b", "ktalk")])
    note = forms.CharField(label=_("Note"), required=False, widget=forms.Textarea(attrs={"rows": 2}))
    agreed = forms.BooleanField(label=_("Authorised"), required=False)


@dataclass(frozen=True, slots=True)
class Examples:
    """What the component page shows."""

    board: Board
    challenge: Challenge
    precision: Precision
    clocks: list[Reading]
    live: list[ShownJob]
    ended: list[ShownJob]
    running: ShownJob
    log: list[Line]
    columns: list[charts.Column]
    threshold_x: float
    portrait: Portrait
    multiples: list[Multiple]
    form: ExampleForm
    row: Row = field(default_factory=Row)


def examples() -> Examples:
    """Return one of everything."""
    active, silent = _version(7, "active"), _version(8, "silent")
    running = _job(1, State.RUNNING, done=1200, total=2750, started_at=AT, attempts=1, worker="core-1:4242:x")
    return Examples(
        board=Board(active, None, {cell: BoardCell(n) for cell, n in _CELLS.items()}, 62),
        challenge=Challenge(silent, active, Gain(14, 62), 0),
        precision=Precision(active, Proof(412, 4, 96, 41, 3, 2, 0.0097, 0.031, 400.0, "sessions")),
        clocks=[Reading(state, AT, left, close) for state, left, close in _CLOCKS],
        live=[
            ShownJob(running, AT + timedelta(minutes=5), timedelta(minutes=5), timedelta(minutes=4)),
            ShownJob(_job(2, State.WAITING)),
        ],
        ended=[
            ShownJob(_job(3, State.DONE, done=6, total=6), took=timedelta(seconds=71)),
            ShownJob(_job(4, State.FAILED, error="FileNotFoundError: segments/7.parquet"), took=timedelta(seconds=3)),
            ShownJob(_job(5, State.SKIPPED, result={"reason": "49 new labels, 50 are wanted"})),
        ],
        running=ShownJob(running, AT + timedelta(minutes=5), timedelta(minutes=5), timedelta(minutes=4)),
        log=[Line(pk=NOWHERE + n, at=AT + timedelta(seconds=n), text=text) for n, text in enumerate(_LOG)],
        columns=charts.columns([Bar(n / 20, *_heights(n)) for n in range(20)]),
        threshold_x=0.7 * charts.WIDTH,
        portrait=_portrait(),
        multiples=[_multiple(1, "ACME", 0.5), _multiple(2, "Initech", 0.26)],
        form=ExampleForm({}),
    )


_CELLS = {
    Cell.COVERED: 1204,
    Cell.MISSED: 88,
    Cell.UNIQUE: 96,
    Cell.QUIET: 2_400_000,
    Cell.UNINSPECTED_POSITIVE: 14,
    Cell.UNINSPECTED_NEGATIVE: 700_000,
}
_CLOCKS = (
    (Clock.RUNNING, timedelta(hours=23, minutes=59), False),
    (Clock.RUNNING, timedelta(hours=3, minutes=12), True),
    (Clock.PAUSED, timedelta(hours=5), False),
    (Clock.MET, timedelta(hours=9, minutes=1), False),
    (Clock.BREACHED, timedelta(minutes=4), False),
    (Clock.NONE, timedelta(), False),
)
_LOG = ("attempt 1, by core-1:4242", "segment 1: 50,000 sessions, 3 unique candidates", "done")


def _portrait() -> Portrait:
    """A made-up user: idle but for every sixth day, in an organisation that is livelier on fewer days."""
    night = RiskNight(day=AT.date())
    counts = [0.0] * 12 + [1.2, 2.6, 3.1, 2.2, 1.4, 0.6, 0.3] + [0.0] * 21
    curve = [0.0] * 8 + [0.004, 0.01, 0.02, 0.03, 0.02, 0.01, 0.004, 0.002, 0.001] + [0.0] * 23
    today = DayOf(AT.date(), 15.2, 20.23, [], None)
    picture = pictures.of_entity(counts, 42.0, curve, 20.23, today.value)
    return Portrait(Entity(name="gerrard"), night, picture, 90, 42.0, 20.23, 2.31, today, AT.date(), [], 42 / 82)


def _multiple(number: int, customer: str, share: float) -> Multiple:
    """A made-up stream of six weeks, whose last days have another share than the others."""
    stream = Stream(
        pk=NOWHERE + number, customer=Customer(pk=NOWHERE + number, name=customer), version=_version(7, "active"),
        kind=Stream.Kind.EXCESS,
    )  # fmt: skip
    is_wild = share > 0.4
    days = [
        StreamDay(
            stream=stream,
            day=AT.date() + timedelta(days=n),
            x=round(40 * (share if n > 38 else 0.2 + n % 4 / 30)),
            n=40,
            a0=5.0,
            b0=15.0,
            ref_n=1_200.0,
            mu=0.25,
            phi=150.0,
            is_learning=n < 28,
            is_tested=n >= 28,
            is_alarm=n > 39 and is_wild,
            statistic=900.0 if n > 39 and is_wild else 0.6,
            odds_ratio=3.0,
        )
        for n in range(42)
    ]
    return Multiple(days[-1], small(days, days[39].day if is_wild else None), None, None)


def _heights(n: int) -> tuple[int, int, int]:
    return (n**2 if n > 12 else 0, 4000 // (n + 1) ** 2 + (9 if n > 15 else 0), 300 // (n + 1) ** 2)


def _version(number: int, stage: str) -> Version:
    detector = Detector(name="http-attacks", pk=NOWHERE)
    return Version(pk=NOWHERE + number, detector=detector, number=number, stage=stage, threshold=0.7)


def _job(number: int, state: State, **fields: Any) -> Job:
    defaults = {"kind": "retrain", "run_key": "retrain http-attacks", "task": "labeling.tasks.retrain"}
    return Job(pk=NOWHERE + number, state=state, queue="training", created_at=AT, **defaults | fields)
