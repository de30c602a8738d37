"""Trees on rows: LightGBM, deterministic, one thread per model; several models grow side by side on one binned matrix.

Features are cut into bins once, from all rows: bins know quantiles of features and no label. Every model, of a fold or
of everything, grows on rows picked out of that matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.training_policy import TrainingPolicy, draws

Progress = Callable[[int, int], None]  # models fitted, of how many; what it raises ends the training
Rows = NDArray[np.intp]  # row numbers
FIXED = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}


@dataclass(frozen=True)
class Table:
    """Rows as LightGBM reads them."""

    features: NDArray[np.float32]
    label: NDArray[np.int8]
    weight: NDArray[np.float64]
    always: NDArray[np.bool_]  # every tree sees it
    bins: Any  # lightgbm.Dataset of all rows

    def __len__(self) -> int:
        return len(self.label)


def make_table(
    features: NDArray[np.float32],
    label: NDArray[np.int8],
    weight: NDArray[np.float64],
    always: NDArray[np.bool_],
    names: list[str],
) -> Table:
    """Return the table with its features cut into bins."""
    import lightgbm  # loaded when first used: nobody but training and explanations needs it

    bins = lightgbm.Dataset(features, label, weight=weight, feature_name=names, params=FIXED)
    return Table(features, label, weight, always, bins.construct())


def parameters(table: Table, chosen: Rows, policy: TrainingPolicy, trees: int) -> dict[str, Any]:
    """Return LightGBM's parameters of a model on these rows; a report keeps them."""
    positives = int((table.label[chosen] == 1).sum())
    return {
        **FIXED,
        "objective": "binary",
        "seed": policy.seed,
        "learning_rate": policy.learning_rate * policy.trees / trees,  # fewer trees go as far in all
        "num_leaves": policy.leaves,
        "min_data_in_leaf": max(1, min(policy.rows_per_leaf, positives // 4)),
        "boost_from_average": False,  # of a draw, it would be an average of nothing
        "feature_fraction": policy.feature_share,
        "lambda_l2": policy.leaf_penalty,
    }


def fit(table: Table, chosen: Rows, policy: TrainingPolicy, trees: int) -> Any:
    """Return a booster grown on the chosen rows."""
    import lightgbm

    parts = draws(table.label[chosen], table.always[chosen], policy, -(-trees // policy.trees_per_draw))
    told = parameters(table, chosen, policy, trees)
    scale = len(parts[0]) / table.weight[chosen[parts[0]]].sum()  # the penalty means the same whatever the weights
    seen = np.unique(np.concatenate(parts))  # of much background most is in no draw
    features = table.features[chosen[seen]]
    raw = np.zeros(len(seen))  # so far: a draw goes on where the one before stopped
    grown = []
    for number, part in enumerate(parts):
        drawn = table.bins.subset(chosen[part].tolist(), params=FIXED).construct()
        drawn.set_weight(table.weight[chosen[part]] * scale)
        drawn.set_init_score(raw[np.searchsorted(seen, part)])
        booster = lightgbm.Booster(told | {"seed": policy.seed + number}, drawn)
        for _tree in range(min(policy.trees_per_draw, trees - number * policy.trees_per_draw)):
            booster.update()
        grown.append(booster.model_to_string())
        if number + 1 < len(parts):
            raw += raw_scores(booster, features)
    return lightgbm.Booster(model_str=_joined(grown))


def _joined(texts: list[str]) -> str:
    """Return one model with the trees of all, in their order. LightGBM reads trees one after the other where their
    sizes are not told."""
    start, end = "\nTree=", "\nend of trees"
    head = "\n".join(line for line in texts[0].partition(start)[0].splitlines() if not line.startswith("tree_sizes="))
    trees = [tree for text in texts for tree in text.partition(end)[0].split(start)[1:]]
    numbered = [f"{start}{number}\n{tree.partition(chr(10))[2]}" for number, tree in enumerate(trees)]
    return head + "\n" + "".join(numbered) + end + texts[0].partition(end)[2]


def raw_scores(booster: Any, features: NDArray[np.float32]) -> NDArray[np.float64]:
    raw: NDArray[np.float64] = booster.predict(features, raw_score=True, num_threads=1)
    return raw


class Pool(ThreadPoolExecutor):
    """Threads that fit models, and how many are done."""

    def __init__(self, max_workers: int) -> None:
        super().__init__(max_workers=max_workers)
        self._started: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        self._started.append(future)
        return future

    def watch(self, progress: Progress | None) -> None:
        """Tell after each model; where telling raises, the models that wait are not fitted."""
        if progress is None:
            return
        try:
            for number, _future in enumerate(as_completed(self._started), start=1):
                progress(number, len(self._started))
        except BaseException:
            self.shutdown(wait=False, cancel_futures=True)
            raise


def score_unseen(
    pool: Pool, table: Table, tests: list[tuple[Rows, Rows]], policy: TrainingPolicy, trees: int
) -> Callable[[], NDArray[np.float64]]:
    """Start one model for each (rows to learn from, rows to score). The answer waits for them and returns the raw score
    of every row by the model that never saw it; NaN where no model could be made, or none was asked for."""

    def score(seen: Rows, unseen: Rows) -> NDArray[np.float64]:
        return raw_scores(fit(table, seen, policy, trees), table.features[unseen])

    started = [
        (unseen, pool.submit(score, seen, unseen))
        for seen, unseen in tests
        if len(unseen) and len(np.unique(table.label[seen])) == 2
    ]

    def wait() -> NDArray[np.float64]:
        raw = np.full(len(table), np.nan)
        for unseen, future in started:
            raw[unseen] = future.result()
        return raw

    return wait
