"""Everything that decides how a model is trained, and how much each label counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.training_rows import TrainingRows

JUDGED = ("expert", "dump", "customer")  # origins where a person knew what the session was


@dataclass(frozen=True, slots=True)
class TrainingPolicy:
    """Stored with the report of every training."""

    version: int = 3
    false_positive_cost: float = 10.0  # in missed detections whose labels are trusted as much
    # trust in a label by its origin: weight of the row in training and in the threshold proposal
    expert: float = 1.0
    dump: float = 0.8
    customer: float = 0.6
    rule: float = 0.3
    language_model: float = 0.2
    background: float = 0.1
    # Background is unlabelled: a model that learns all of it by heart keeps silent about what rules miss. So trees grow
    # on all positives, every answer of a person, and a little background, drawn anew for every few of them (bagging for
    # learning from positives and unlabelled rows, Mordelet and Vert 2014). That caps the weight of background too.
    background_per_positive: float = 1.0
    trees_per_draw: int = 5
    # Until persons have judged sessions of both classes no version can leave, and the threshold is for scouting: out of
    # fold, at most so many kinds of background session stand above it. They are questions to experts.
    scouting_questions: int = 60
    question_cost: float = 0.01  # in missed detections
    # LightGBM
    seed: int = 20_260_101
    trees: int = 300
    leaves: int = 31
    learning_rate: float = 0.05
    rows_per_leaf: int = 5  # fewer where positives are few
    feature_share: float = 0.8  # of the features, drawn per tree
    leaf_penalty: float = 1.0
    # honest figures
    folds: int = 5
    folds_of_many: int = 3  # with `many_rows` a fold less costs nothing and saves minutes
    many_rows: int = 20_000
    source_models: int = 8  # more sources than this are left out together
    source_trees: int = 100  # fewer and larger steps: these models answer one question and are thrown away
    time_blocks: int = 4  # of equal size: each but the first is scored by a model of all before it
    # the learning curve: shares of the judged groups, each inside the next one
    curve_shares: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    curve_rows: int = 60  # judged rows, at least; of fewer nothing can be told
    curve_more: int = 500  # labels that are asked about
    workers: int = 2  # models trained side by side; changes no byte

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "curve_shares": list(self.curve_shares)}

    def folds_for(self, rows: int) -> int:
        return self.folds if rows < self.many_rows else self.folds_of_many

    def weight_of(self, origin: str) -> float:
        return float(getattr(self, origin.replace("-", "_")))


def judged(rows: TrainingRows) -> NDArray[np.bool_]:
    """Return the rows that a person labelled."""
    return np.array([origin in JUDGED for origin in rows.origin], dtype=np.bool_)


def is_scouting(rows: TrainingRows) -> bool:
    """Has nobody yet judged sessions of both classes?"""
    return len(np.unique(rows.label[judged(rows)])) < 2


def trust(rows: TrainingRows, policy: TrainingPolicy) -> NDArray[np.float64]:
    """Return how much each label counts: the row's own weight times its origin's."""
    trusted: NDArray[np.float64] = rows.weight * np.array([policy.weight_of(origin) for origin in rows.origin])
    return trusted


def prices(rows: TrainingRows, policy: TrainingPolicy) -> NDArray[np.float64]:
    """Return what a wrong verdict on each row costs, false positives before their cost factor.

    Trust in the label, shared among look-alikes of one class: 100 of them are one mistake."""
    price = trust(rows, policy)
    alike = list(zip(rows.group, rows.label.tolist(), strict=True))
    sizes = Counter(alike)
    shared: NDArray[np.float64] = price / np.array([sizes[pair] for pair in alike])
    return shared


def seen_by_every_tree(rows: TrainingRows) -> NDArray[np.bool_]:
    """Return the rows no tree goes without: positives, and what persons judged. The others are drawn."""
    always: NDArray[np.bool_] = judged(rows) | (rows.label == 1)
    return always


def draws(
    label: NDArray[np.int8], always: NDArray[np.bool_], policy: TrainingPolicy, count: int
) -> list[NDArray[np.intp]]:
    """Return the rows of each of `count` draws, ascending: those seen always, and background without repetition."""
    kept, background = np.flatnonzero(always), np.flatnonzero(~always)
    size = min(len(background), max(1, round(policy.background_per_positive * int((label == 1).sum()))))
    generator = np.random.default_rng(policy.seed)
    return [
        np.sort(np.concatenate([kept, generator.choice(background, size, replace=False)])) for _number in range(count)
    ]
