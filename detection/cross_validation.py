"""Which rows a model may not see before it is asked about them: folds by group, sources apart, time before time.

A figure of rows whose look-alikes were trained on flatters; so does one of sessions of a host, or of a day, that were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


def fold_of_groups(group: Sequence[str], label: NDArray[np.int8], folds: int, seed: int) -> NDArray[np.intp] | None:
    """Return the fold of every row; a group lies in one fold, and every fold leaves both classes to train on.

    Groups with positives are dealt out first, so that each fold gets some. None where the groups are too few."""
    has_positive: dict[str, bool] = {}
    for name, is_positive in zip(group, label.tolist(), strict=True):
        has_positive[name] = has_positive.get(name, False) or bool(is_positive)
    dealt: dict[str, int] = {}
    for kind in (True, False):
        names = sorted((name for name, found in has_positive.items() if found is kind), key=lambda n: drawn(seed, n))
        dealt |= {name: place % folds for place, name in enumerate(names)}
    fold = np.array([dealt[name] for name in group], dtype=np.intp)
    used = np.unique(fold)
    if any(len(np.unique(label[fold != number])) < 2 for number in used):
        return None
    return np.searchsorted(used, fold)


def drawn(seed: int, name: str) -> bytes:
    """Return where a name stands in an order that only the seed knows."""
    return hashlib.sha256(f"{seed}|{name}".encode("utf-8", "surrogatepass")).digest()


def splits_of(fold: NDArray[np.intp]) -> list[tuple[Rows, Rows]]:
    """Return (rows to learn from, rows to score) of every fold."""
    numbers = range(int(fold.max(initial=-1)) + 1)
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in numbers]


def bins_of_sources(source: Sequence[str], most: int) -> list[list[str]]:
    """Return the sources to leave out together: each alone while they are few, else dealt by size into equal bins."""
    sizes: dict[str, int] = {}
    for name in source:
        sizes[name] = sizes.get(name, 0) + 1
    bins: list[list[str]] = [[] for _ in range(min(most, len(sizes)))]
    filled = [0] * len(bins)
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        smallest = filled.index(min(filled))
        bins[smallest].append(name)
        filled[smallest] += sizes[name]
    return bins


def bin_of_rows(source: Sequence[str], bins: Sequence[Sequence[str]]) -> NDArray[np.intp]:
    """Return the bin of every row's source."""
    number_of = {name: number for number, names in enumerate(bins) for name in names}
    return np.array([number_of[name] for name in source], dtype=np.intp)


def blocks_of_time(start: Sequence[int | None], blocks: int) -> list[Rows]:
    """Return the rows in blocks of about equal size, each later than the one before; sessions of one instant stay
    together. Rows without a time are in none. Fewer blocks where there are fewer instants."""
    known = np.array([number for number, at in enumerate(start) if at is not None], dtype=np.intp)
    times = np.array([start[number] for number in known.tolist()], dtype=np.int64)
    if not len(known):
        return []
    edges = np.unique(np.quantile(times, np.arange(1, blocks) / blocks, method="higher"))
    block = np.searchsorted(edges, times, side="right")
    return [known[block == number] for number in np.unique(block)]


def splits_by_time(blocks: Sequence[Rows]) -> list[tuple[Rows, Rows]]:
    """Return (everything before, the block) for each block but the first."""
    return [(np.sort(np.concatenate(blocks[:number])), blocks[number]) for number in range(1, len(blocks))]
