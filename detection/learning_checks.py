"""The models behind a learning curve: each fold of judged groups, learnt from ever larger shares of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from detection.boosting import Pool, Rows, Table, fit, raw_scores
from detection.cross_validation import fold_of_groups
from detection.learning_curve import Curve, average_precision, curve, nested_shares
from detection.training_policy import TrainingPolicy, judged
from detection.training_rows import TrainingRows


def start_curve(pool: Pool, table: Table, rows: TrainingRows, policy: TrainingPolicy) -> Callable[[], Curve]:
    """Start the models; the answer waits for them. What rules and background teach is there in every one."""
    known = np.flatnonzero(judged(rows))
    why_not, fold = "", None
    if len(np.unique(rows.label[known])) < 2:
        why_not = "one class"
    elif len(known) < policy.curve_rows:
        why_not = "few labels"
    else:
        fold = fold_of_groups(
            [rows.group[row] for row in known.tolist()], rows.label[known], policy.folds_for(len(rows)), policy.seed
        )
        if fold is None or not _both_classes_in_each(rows, known, fold):
            why_not = "few groups"
    if why_not or fold is None:
        figures = {"needed": float(policy.curve_rows)}
        return lambda: Curve(len(known), why_not=why_not, figures=figures)

    def error(seen: Rows, unseen: Rows) -> float:
        raw = raw_scores(fit(table, seen, policy, policy.source_trees), table.features[unseen])
        return 1.0 - average_precision(raw, table.label[unseen])

    group = _numbered(rows.group)
    weak = np.setdiff1d(np.arange(len(rows)), known)
    started = []
    for number in range(int(fold.max()) + 1):
        unseen, others = known[fold == number], known[fold != number]
        of_others = weak[~np.isin(group[weak], group[unseen])]
        shares = nested_shares(rows.group, others, policy.curve_shares, policy.seed)
        sets = [(len(share), np.sort(np.concatenate([of_others, share]))) for share in shares]
        started.append([
            (count, pool.submit(error, seen, unseen))
            for count, seen in sets
            if len(np.unique(rows.label[seen])) == 2
        ])  # fmt: skip
    shortest = min(map(len, started))

    def wait() -> Curve:
        errors = [[(count, future.result()) for count, future in of_fold[-shortest:]] for of_fold in started]
        return curve(errors, len(known), policy.curve_more)

    return wait


def _numbered(names: Sequence[str]) -> Rows:
    """Return equal numbers for equal names: comparing 100,000 texts with thousands takes minutes."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)


def _both_classes_in_each(rows: TrainingRows, known: Rows, fold: Rows) -> bool:
    return all(len(np.unique(rows.label[known[fold == number]])) == 2 for number in np.unique(fold))
