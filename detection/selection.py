"""Which sessions experts should see: cells of the board, the reason to show a session, and the order of a queue."""

from __future__ import annotations

import math
from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one version said about a session."""

    positive: bool
    score: float
    threshold: float


@dataclass(frozen=True, slots=True)
class SelectionPolicy:
    """Stored with every item, so that an old choice can be explained."""

    version: int = 1
    uncertain_band: float = 0.10  # of probability, either side of the threshold
    weight_margin: float = 1.0  # how far above the threshold
    weight_hosts: float = 1.0  # one answer settles the case for all of them
    weight_sessions: float = 0.5  # many sessions of one host are one story
    full_hosts: int = 1_000  # this many count in full, more no further
    full_sessions: int = 100_000

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def cell_of(positive: bool, rules: RuleVerdict) -> Cell:
    """Return the board cell of one session."""
    return _BOARD[bool(positive), rules]


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


def priority(score: float, threshold: float, sessions: int, hosts: int, policy: SelectionPolicy) -> float:
    """Return the place of an item in its queue, higher first; finite, and never lower for more of anything.

    weight_margin * (score - threshold) / (1 - threshold)
    + weight_hosts * log(1 + hosts) / log(1 + full_hosts) + the same for sessions, each ratio at most 1
    """
    margin = max(score - threshold, 0.0) / (1.0 - threshold) if threshold < 1.0 else 0.0
    return (
        policy.weight_margin * margin
        + policy.weight_hosts * _share(hosts, policy.full_hosts)
        + policy.weight_sessions * _share(sessions, policy.full_sessions)
    )


def _share(count: int, full: int) -> float:
    return min(math.log1p(max(count, 0)) / math.log1p(full), 1.0)
