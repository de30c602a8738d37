"""How far experts agree when they answer apart: plain shares, Krippendorff's alpha, Cohen's kappa, their intervals.

Alpha is 1 - (observed disagreement) / (disagreement expected by chance), over any number of experts and gaps between
their answers (Krippendorff 2004, nominal); kappa is the same idea for two experts who answered the same items
(Cohen 1960). Both ask for more than one kind of answer: where everybody says the same they are not defined, and None
here. Intervals are percentiles of a bootstrap over items (Efron 1979), which are what is independent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

ANSWERS = ("positive", "negative", "undecided")  # nominal: none lies between two others
FEWEST = 20  # items answered by two; with fewer nothing is said of people

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AgreementPolicy:
    """Stored with every figure."""

    version: int = 1
    window_days: int = 90  # of answers
    resamples: int = 2_000
    confidence: float = 0.95  # two-sided
    most_items: int = 5_000  # the newest; more of them narrow an interval that is narrow enough

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Given:
    """One expert's own answer to an item, given before he could see what others said."""

    item: int
    expert: int
    answer: str


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of so many items that two or more answered, on how many all agreed, and what chance leaves of that."""

    items: int
    agreed: int
    value: float | None  # alpha or kappa; None where all answers are one
    low: float | None
    high: float | None

    @property
    def is_enough(self) -> bool:
        return self.items >= FEWEST


def of_all(given: Sequence[Given], policy: AgreementPolicy, random: np.random.Generator) -> Agreement:
    """Return how far any two who answered the same item agree: Krippendorff's alpha."""
    counts = _counts(given)[-policy.most_items :]
    agreed = int((counts.max(axis=1, initial=0) == counts.sum(axis=1)).sum())
    return Agreement(len(counts), agreed, alpha(counts), *_interval(counts, alphas, policy, random))


def of_pairs(
    given: Sequence[Given], policy: AgreementPolicy, random: np.random.Generator
) -> dict[tuple[int, int], Agreement]:
    """Return how far each two experts agree on the items that both answered: Cohen's kappa."""
    return {pair: _of_two(answers, policy, random) for pair, answers in sorted(_pairs(given).items())}


def _of_two(answers: Ints, policy: AgreementPolicy, random: np.random.Generator) -> Agreement:
    answers = answers[-policy.most_items :]
    agreed = int((answers[:, 0] == answers[:, 1]).sum())
    return Agreement(len(answers), agreed, kappa(answers), *_interval(answers, kappas, policy, random))


def with_others(given: Sequence[Given]) -> dict[int, tuple[int, int]]:
    """Return for each expert the items that others answered too, and on how many of them all others said the same."""
    by_item = _by_item(given)
    found: dict[int, tuple[int, int]] = {}
    for answers in by_item.values():
        for expert, answer in answers.items() if len(answers) > 1 else ():
            items, agreed = found.get(expert, (0, 0))
            same = all(other == answer for who, other in answers.items() if who != expert)
            found[expert] = items + 1, agreed + same
    return found


def alpha(rows: Ints) -> float | None:
    """Return Krippendorff's alpha of items x answers: how many experts gave each answer to an item."""
    import krippendorff  # only the night asks: web processes need not carry it

    if (rows.sum(axis=0) > 0).sum() < 2:
        return None
    return float(krippendorff.alpha(value_counts=rows, level_of_measurement="nominal"))


def kappa(rows: Ints) -> float | None:
    """Return Cohen's kappa of items x two experts: their answers by number."""
    from sklearn.metrics import cohen_kappa_score  # as above

    if not len(rows) or (rows == rows[0, 0]).all():
        return None
    return float(cohen_kappa_score(rows[:, 0], rows[:, 1], labels=range(len(ANSWERS))))


# the same of many resamples at once, for intervals; a resample is how often each pattern of answers was drawn


def alphas(patterns: Ints, draws: Ints) -> Floats:
    """Return alpha of each resample; not a number where it is not defined."""
    size = patterns.sum(axis=1)
    agreeing = (patterns * (patterns - 1)).sum(axis=1) / (size - 1)
    n, of_answer = draws @ size, draws @ patterns
    by_chance = (of_answer * (of_answer - 1)).sum(axis=1) / (n * (n - 1))
    return _above_chance((draws @ agreeing) / n, by_chance)


def kappas(patterns: Ints, draws: Ints) -> Floats:
    """Return kappa of each resample; not a number where it is not defined."""
    n = draws.sum(axis=1)
    one, other = (draws @ np.eye(len(ANSWERS))[patterns[:, expert]] for expert in (0, 1))
    same = draws @ (patterns[:, 0] == patterns[:, 1])
    return _above_chance(same / n, (one * other).sum(axis=1) / n**2)


def _above_chance(seen: Floats, by_chance: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1.0 - (1.0 - seen) / (1.0 - by_chance))


def _interval(
    rows: Ints, measure: Callable[[Ints, Ints], Floats], policy: AgreementPolicy, random: np.random.Generator
) -> tuple[float | None, float | None]:
    """Return the percentiles of a measure over resampled items; nothing where there are too few to tell."""
    if len(rows) < FEWEST:
        return None, None
    patterns, times = np.unique(rows, axis=0, return_counts=True)
    values = measure(patterns, random.multinomial(len(rows), times / len(rows), size=policy.resamples))
    values = values[np.isfinite(values)]
    if not len(values):
        return None, None
    rest = (1.0 - policy.confidence) / 2
    low, high = np.quantile(values, (rest, 1.0 - rest))
    return float(low), float(high)


def _counts(given: Sequence[Given]) -> Ints:
    shared = [Counter(answers.values()) for answers in _by_item(given).values() if len(answers) > 1]
    return np.array([[count[answer] for answer in ANSWERS] for count in shared], np.int64).reshape(-1, len(ANSWERS))


def _pairs(given: Sequence[Given]) -> dict[tuple[int, int], Ints]:
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for answers in _by_item(given).values():
        for one, other in combinations(sorted(answers), 2):
            told = ANSWERS.index(answers[one]), ANSWERS.index(answers[other])
            found.setdefault((one, other), []).append(told)
    return {pair: np.array(answers, np.int64) for pair, answers in found.items()}


def _by_item(given: Sequence[Given]) -> dict[int, dict[int, str]]:
    """Return answers by item, oldest item first, and by expert."""
    found: dict[int, dict[int, str]] = {}
    for one in sorted(given, key=lambda one: (one.item, one.expert)):
        found.setdefault(one.item, {})[one.expert] = one.answer
    return found
