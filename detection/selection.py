"""Which sessions experts should see: cells of the board, the reason to show a session, and the order of a queue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.rules import RuleVerdict


class Cell(StrEnum):
    """One cell of the board, rules x model."""

    COVERED = "covered"  # both
    UNIQUE = "unique"  # the model only, rules clean: a unique candidate
    MISSED = "missed"  # the rules only
    QUIET = "quiet"  # neither
    UNINSPECTED_POSITIVE = "uninspected-positive"  # the model speaks, no rules looked: never unique
    UNINSPECTED_NEGATIVE = "uninspected-negative"


# code in score files → cell; appended to, never reordered
CELL_CODES = (
    Cell.COVERED,
    Cell.UNIQUE,
    Cell.MISSED,
    Cell.QUIET,
    Cell.UNINSPECTED_POSITIVE,
    Cell.UNINSPECTED_NEGATIVE,
)
_BOARD = {
    (True, RuleVerdict.HIT): Cell.COVERED,
    (True, RuleVerdict.CLEAN): Cell.UNIQUE,
    (False, RuleVerdict.HIT): Cell.MISSED,
    (False, RuleVerdict.CLEAN): Cell.QUIET,
    (True, RuleVerdict.NOT_INSPECTED): Cell.UNINSPECTED_POSITIVE,
    (False, RuleVerdict.NOT_INSPECTED): Cell.UNINSPECTED_NEGATIVE,
}
# [verdict, rule verdict] → code, from the same table
_CODES = np.array(
    [[CELL_CODES.index(_BOARD[positive, rules]) for rules in sorted(RuleVerdict)] for positive in (False, True)],
    dtype=np.int8,
)


class Reason(StrEnum):
    """Why a session is shown to an expert, strongest first."""

    UNIQUE_CANDIDATE = "unique-candidate"
    MISSED = "missed"
    DISAGREEMENT = "disagreement"
    UNCERTAIN = "uncertain"
    HUNT = "hunt"  # somebody asked for it by a filter
    DUMP = "dump"  # a saved capture that somebody labelled: no score decides about it


# code of a reason in arrays: its place here and one; 0 is no reason
REASON_CODES = (Reason.UNIQUE_CANDIDATE, Reason.MISSED, Reason.DISAGREEMENT, Reason.UNCERTAIN)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one version said about a session."""

    positive: bool
    score: float
    threshold: float


@dataclass(frozen=True, slots=True)
class SelectionPolicy:
    """Stored with every item, so that an old choice can be explained."""

    version: int = 2
    uncertain_band: float = 0.10  # of probability, either side of the threshold
    weight_margin: float = 1.0  # how far above the threshold
    weight_hosts: float = 1.0  # one answer settles the case for all of them
    weight_sessions: float = 0.5  # many sessions of one host are one story
    full_hosts: int = 1_000  # this many count in full, more no further
    full_sessions: int = 100_000
    most_uncertain: int = 200  # sessions of one segment: a low threshold has half of all traffic within its band
    weight_round: float = 10.0  # a host's second item comes after the first items of all others

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_dict(cls, stored: Mapping[str, Any]) -> SelectionPolicy | None:
        """Return the policy that was stored with a choice; None where it is no policy of this formula."""
        names = cls.__dataclass_fields__
        return cls(**stored) if stored.keys() == names.keys() else None


def cell_of(positive: bool, rules: RuleVerdict) -> Cell:
    """Return the board cell of one session."""
    return _BOARD[bool(positive), rules]


def rule_verdict_of(cell: Cell) -> RuleVerdict:
    """Return what the rules said of the sessions of a cell."""
    return next(rules for (_positive, rules), found in _BOARD.items() if found is cell)


def cells(verdict: NDArray[np.bool_], rules: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return the code of the board cell (index in CELL_CODES) of every session."""
    codes: NDArray[np.int8] = _CODES[verdict.astype(np.int8), rules]
    return codes


def choose_reason(
    active: Verdict, others: Sequence[Verdict], rules: RuleVerdict, policy: SelectionPolicy
) -> Reason | None:
    """Return the strongest reason to show this session to an expert, if any."""
    cell = cell_of(active.positive, rules)
    if cell is Cell.UNIQUE:
        return Reason.UNIQUE_CANDIDATE
    if cell is Cell.MISSED:
        return Reason.MISSED
    if any(other.positive != active.positive for other in others):
        return Reason.DISAGREEMENT
    if abs(active.score - active.threshold) <= policy.uncertain_band:
        return Reason.UNCERTAIN
    return None


@dataclass(frozen=True, slots=True)
class Spoken:
    """What one version and the rules said about every session of a segment."""

    positive: NDArray[np.bool_]
    score: NDArray[np.float64]
    threshold: float
    rules: NDArray[np.int8]


def reasons(spoken: Spoken, others: Sequence[Spoken], policy: SelectionPolicy) -> NDArray[np.int8]:
    """Return the code of the strongest reason to show each session: `choose_reason` for a whole segment."""
    found = cells(spoken.positive, spoken.rules)
    differ = np.zeros(len(found), np.bool_)
    for other in others:
        differ |= other.positive != spoken.positive
    close = np.abs(spoken.score - spoken.threshold) <= policy.uncertain_band
    chosen = [
        found == CELL_CODES.index(Cell.UNIQUE),
        found == CELL_CODES.index(Cell.MISSED),
        differ,
        close,
    ]
    return np.select(chosen, [code_of(reason) for reason in REASON_CODES], 0).astype(np.int8)


def new_reasons(spoken: Spoken, earlier: Sequence[Spoken], policy: SelectionPolicy) -> NDArray[np.int8]:
    """Return the reasons of one version's verdicts, given versions that were looked at before: 0 where a session is
    shown already, for whatever reason."""
    shown = np.zeros(len(spoken.positive), np.bool_)
    for number, one in enumerate(earlier):
        shown |= reasons(one, earlier[:number], policy) > 0
    found = reasons(spoken, earlier, policy)
    found[shown] = 0
    return found


def code_of(reason: Reason) -> int:
    return REASON_CODES.index(reason) + 1


def rounds(hosts: Sequence[str], held: Mapping[str, int]) -> list[int]:
    """Return in which round each item stands when every host gets one item first, then a second: the strongest item of
    a host comes first in `hosts`; `held` says how many it has already."""
    counted = dict(held)
    found = []
    for host in hosts:
        found.append(counted.get(host, 0))
        counted[host] = found[-1] + 1
    return found


def one_of_each_first(keys: Sequence[tuple[str, str]], most: int) -> list[int]:
    """Return the places of at most so many sessions, the strongest first given: one per look and host, then others."""
    seen: dict[tuple[str, str], int] = {}
    ranks = []
    for place, key in enumerate(keys):
        ranks.append((seen.get(key, 0), place))
        seen[key] = seen.get(key, 0) + 1
    return sorted(place for _rank, place in sorted(ranks)[:most])


def closeness(score: float, threshold: float, policy: SelectionPolicy) -> float:
    """Return 1 at the threshold and 0 at the edge of the uncertain band."""
    return max(1.0 - abs(score - threshold) / policy.uncertain_band, 0.0) if policy.uncertain_band > 0 else 0.0


class Cause(StrEnum):
    """What the place of an item in its queue comes from, in the order of explanations."""

    MARGIN = "margin"  # how far above the threshold
    CLOSE = "close"  # how close to the threshold
    HOSTS = "hosts"
    SESSIONS = "sessions"
    ROUND = "round"  # other items of its host come first
    RAISED = "raised"  # by something that came to be known later, an incident for one
    DEADLINE = "deadline"  # no formula: the nearest first, before all others
    LOT = "lot"  # no formula: drawn, in the order of the traffic


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a place."""

    cause: Cause
    amount: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stands in its queue, and what put it there."""

    terms: tuple[Term, ...]

    @property
    def number(self) -> float:
        """Higher first."""
        return sum((term.amount for term in self.terms), 0.0)

    @property
    def cause(self) -> Cause:
        """The part that weighs most: what raised it or holds it back, else the largest."""
        found = {term.cause: term.amount for term in self.terms}
        for decisive in (Cause.RAISED, Cause.ROUND):
            if found.get(decisive):
                return decisive
        return max(self.terms, key=lambda term: term.amount).cause

    def plus(self, cause: Cause, amount: float) -> Place:
        """Return the place with a part more; without one that is nothing."""
        return Place((*self.terms, Term(cause, amount))) if amount else self


def place_of(
    reason: Reason, score: float, threshold: float, sessions: int, hosts: int, policy: SelectionPolicy, turn: int = 0
) -> Place:
    """Return the place of an item; finite, and never lower for more of anything.

    weight_margin * (score - threshold) / (1 - threshold)
    + weight_hosts * log(1 + hosts) / log(1 + full_hosts) + the same for sessions, each ratio at most 1;
    uncertain items: + their closeness; other hunts than unique candidates give every host one item first:
    - weight_round * turn
    """
    margin = max(score - threshold, 0.0) / (1.0 - threshold) if threshold < 1.0 else 0.0
    found = Place(
        (
            Term(Cause.MARGIN, policy.weight_margin * margin),
            Term(Cause.HOSTS, policy.weight_hosts * _share(hosts, policy.full_hosts)),
            Term(Cause.SESSIONS, policy.weight_sessions * _share(sessions, policy.full_sessions)),
        )
    )
    if reason is Reason.UNCERTAIN:
        found = found.plus(Cause.CLOSE, closeness(score, threshold, policy))
    if reason is not Reason.UNIQUE_CANDIDATE:
        found = found.plus(Cause.ROUND, -policy.weight_round * turn)
    return found


def _share(count: int, full: int) -> float:
    return min(math.log1p(max(count, 0)) / math.log1p(full), 1.0)
