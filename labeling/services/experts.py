"""What the pages tell of experts: of oneself everything, of others what a senior must know, and no ranking."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from django.db.models import Max, QuerySet
from django.utils import timezone

from accounts.models import User
from accounts.roles import EXPERTS, Role
from labeling.models import AgreementFigure, AskedAgain, ExpertFigure, Label
from labeling.services import outcomes, seeds
from models_registry.models import Detector

LEADERS = (Role.SENIOR, Role.ADMINISTRATOR, Role.AUDITOR)  # who see the figures of each
TOLD_FOR = timedelta(days=30)  # a missed seed stays on the page of its expert
COLUMNS = (
    "day",
    "detector",
    "expert",
    "labels",
    "median_ms",
    "p90_ms",
    "shared",
    "agreed",
    "seeds",
    "seeds_right",
    "unique",
    "false_positives",
)


@dataclass(slots=True)
class Team:
    """One detector: how far all agree, and for leaders each two and each one, by name."""

    detector: Detector
    everybody: AgreementFigure | None = None
    pairs: list[AgreementFigure] = field(default_factory=list)
    members: list[ExpertFigure] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Page:
    """What a reader sees: his own figures if he answers, and the team's as far as they are his business."""

    day: date | None  # of the night that measured; None: none has yet
    own: list[ExpertFigure]
    week: outcomes.Week | None
    missed: list[Label]  # his answers to seeds that differ from the reference set, told when none can be undone
    asked: list[AskedAgain]  # what a senior returned to him
    teams: list[Team]
    leads: bool


def page(reader: User) -> Page:
    """Collect the page from what the last night stored."""
    day = newest_night()
    leads = reader.has_role(*LEADERS)
    own = list(_figures(day).filter(expert=reader)) if reader.has_role(*EXPERTS) else []
    week = outcomes.week(reader) if reader.has_role(*EXPERTS) else None
    missed = seeds.missed(reader, timezone.now() - TOLD_FOR) if reader.has_role(*EXPERTS) else []
    asked = AskedAgain.objects.waiting().filter(expert=reader).select_related("question__item").order_by("pk")
    return Page(day, own, week, missed, list(asked[:20]), _teams(day, leads=leads), leads)


def newest_night() -> date | None:
    """Return the day of the last night that measured."""
    newest: date | None = AgreementFigure.objects.aggregate(newest=Max("day"))["newest"]
    return newest


def _figures(day: date | None) -> QuerySet[ExpertFigure]:
    found = ExpertFigure.objects.filter(day=day or date.min).select_related("detector", "expert")
    return found.order_by("detector__name", "expert__username")


def _teams(day: date | None, *, leads: bool) -> list[Team]:
    teams: dict[int, Team] = {}
    agreements = AgreementFigure.objects.filter(day=day or date.min).select_related("detector", "first", "second")
    for figure in agreements.order_by("detector__name", "first__username", "second__username"):
        team = teams.setdefault(figure.detector_id, Team(figure.detector))
        if figure.first_id is None:
            team.everybody = figure
        elif leads:
            team.pairs.append(figure)
    by_detector: dict[int, list[ExpertFigure]] = defaultdict(list)
    for one in _figures(day) if leads else ():
        by_detector[one.detector_id].append(one)
    for pk, team in teams.items():
        team.members = by_detector[pk]
    return list(teams.values())


def export(reader: User) -> Iterator[str]:
    """Yield the lines of a CSV file: the figures a reader may see, of the last night."""
    figures = _figures(newest_night())
    if not reader.has_role(*LEADERS):
        figures = figures.filter(expert=reader)
    yield _line(COLUMNS)
    for figure in figures.iterator(chunk_size=500):
        told = {name: getattr(figure, name) for name in COLUMNS if name not in ("detector", "expert")}
        told |= {"detector": figure.detector.name, "expert": figure.expert.username}
        yield _line([_harmless(told[name]) for name in COLUMNS])


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _harmless(value: object) -> str:
    """Return a cell that no spreadsheet takes for a formula: what could start one is led by an apostrophe."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text
