"""Versions compared in the field: what both scored on the same sessions, counted at customers, and what it advises."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db.models import Count, Q, Sum
from django.utils import timezone

from detection.divergence import mcnemar
from models_registry.models import Detector, Stage, Version
from triage.models import Incident, PairDay, TelemetryDay

WINDOW = timedelta(days=28)
SURE = 0.01  # a p-value below it is no chance
LEAST = 20  # sessions on which the two disagree, before anything is advised


@dataclass(frozen=True, slots=True)
class Rules:
    """A version beside the rules of its class, over the window."""

    model_only: int
    heuristic_only: int
    both: int

    @property
    def known(self) -> float | None:
        """Share of what rules hit that the version flags as well."""
        hits = self.both + self.heuristic_only
        return self.both / hits if hits else None


@dataclass(frozen=True, slots=True)
class Compared:
    """A silent version and the active one, on the same sessions of customers."""

    silent: Version
    active: Version
    customers: int
    both: int
    only_silent: int
    only_active: int
    neither: int
    p: float  # exact McNemar, two-sided: that both flag equally often
    of_silent: Rules
    of_active: Rules
    incidents: int  # open ones of the silent version

    @property
    def sessions(self) -> int:
        return self.both + self.only_silent + self.only_active + self.neither

    @property
    def is_sure(self) -> bool:
        return self.p < SURE and self.only_silent + self.only_active >= LEAST

    @property
    def advice(self) -> str:
        """One word: what the counts say about promotion. They cannot tell right from wrong; rules and proof can."""
        if self.sessions == 0:
            return "nothing"
        if self.incidents:
            return "incident"
        new, old = self.of_silent.known, self.of_active.known
        if new is not None and old is not None and new < old and _fewer(self.of_silent, self.of_active):
            return "blind"  # it misses what rules know and the active one finds
        if not self.is_sure:
            return "equal"
        return "more" if self.only_silent > self.only_active else "fewer"


def _fewer(new: Rules, old: Rules) -> bool:
    """Whether a version surely finds less of what rules hit: the same hits, so that misses stand in pairs at worst."""
    return bool(mcnemar(new.heuristic_only, old.heuristic_only) < SURE)


def compare(silent: Version, active: Version, until: date | None = None) -> Compared:
    """Return what customers counted of two versions over WINDOW."""
    first = (until or timezone.now().date()) - WINDOW
    a, b = sorted((silent, active), key=lambda one: one.pk)
    rows = PairDay.objects.filter(a=a, b=b, day__gt=first)
    sums = rows.aggregate(
        both=Sum("both"), a=Sum("only_a"), b=Sum("only_b"), neither=Sum("neither"), n=Count("customer", distinct=True)
    )
    told = {name: value or 0 for name, value in sums.items()}
    only_silent, only_active = (told["a"], told["b"]) if a == silent else (told["b"], told["a"])
    shared = rows.values("customer", "day").distinct()
    return Compared(
        silent,
        active,
        told["n"],
        told["both"],
        only_silent,
        only_active,
        told["neither"],
        float(mcnemar(only_silent, only_active)),
        _rules(silent, first, shared),
        _rules(active, first, shared),
        Incident.objects.unclosed().filter(version=silent).count(),
    )


def _rules(version: Version, first: date, shared: Any) -> Rules:
    """Sum a version's cells over the days of customers that counted both."""
    customers = shared.values("customer")
    rows = TelemetryDay.objects.filter(version=version, day__gt=first, customer__in=customers)
    told = rows.aggregate(a=Sum("model_only"), b=Sum("heuristic_only"), c=Sum("both"))
    return Rules(told["a"] or 0, told["b"] or 0, told["c"] or 0)


def standings(detector: Detector) -> list[Compared]:
    """Return every silent version of a detector beside the active one, as the field counts them."""
    active = detector.versions.filter(stage=Stage.ACTIVE).first()
    if active is None:
        return []
    silent = detector.versions.filter(stage=Stage.SILENT).order_by("-number")
    counted = PairDay.objects.filter(Q(a=active) | Q(b=active))
    if not counted.exists():
        return []
    return [compare(one, active) for one in silent.select_related("detector")]
