"""Why a bundle gave a session its scores: exact SHAP values of its trees, worked out where the bundle runs.

What a leaf adds is a game whose players are the features on its path: with those in a set S told, its share is
prod(o_j, j in S) * prod(z_j, j not in S), o_j: does the session's value lead there, z_j: the share of training rows
that it leads there. The Shapley value of feature i is (o_i - z_i) * integral from 0 to 1 of the product over the
others of z_j + t (o_j - z_j), a polynomial in t: a Gauss-Legendre sum is exact. The values are those of LightGBM's
`pred_contrib` (TreeSHAP, https://arxiv.org/abs/1802.03888). Needs numpy only: appliances write them into kits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.onnx_reader import Constants, tree_ensembles

_RAW, _ROWS = "/raw", "/trees/rows"  # behind the prefix of a model in a bundle

Path = dict[int, tuple[float, float]]  # feature → z, o


@dataclass(frozen=True, slots=True)
class Contributions:
    """What each feature added to the raw score of one session; with the base they sum up to it."""

    base: float  # the mean over the training rows
    features: tuple[float, ...]


def of_bundle(bundle: bytes, features: Sequence[float]) -> dict[int, Contributions]:
    """Return the contributions of a session's features by column of the bundle.

    Models that are no trees of ours, or were built before leaves told their rows, are left out."""
    nodes, constants = tree_ensembles(bundle)
    found = {}
    for number in range(len(nodes)):
        trees, rows = nodes.get(f"model{number}{_RAW}"), constants.get(f"model{number}{_ROWS}")
        if trees is not None and rows is not None:
            found[number] = _of_trees(trees, rows, np.array(features, dtype=np.float64))
    return found


def _of_trees(trees: Constants, rows: NDArray[np.int32], features: NDArray[np.float64]) -> Contributions:
    told, leaves = zip(*_paths(trees, rows, features), strict=True)
    depth = max(map(len, told))
    players = np.zeros((len(told), depth), dtype=np.intp)
    z = np.ones((len(told), depth))  # a player with z = o = 1 changes nothing: paths of all lengths in one array
    o = np.ones((len(told), depth))
    for number, path in enumerate(told):
        for place, (feature, (share, leads)) in enumerate(path.items()):
            players[number, place], z[number, place], o[number, place] = feature, share, leads
    values = trees["leaf_weights"][np.array(leaves)]
    parts = np.zeros_like(z)
    points, weights = np.polynomial.legendre.leggauss(depth // 2 + 1)
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):  # from [-1, 1] to [0, 1]
        factors = z + point * (o - z)
        parts += weight * (values * factors.prod(axis=1))[:, np.newaxis] / factors
    added = np.bincount(players.ravel(), (parts * (o - z)).ravel(), minlength=len(features))
    return Contributions(float(values @ z.prod(axis=1)), tuple(added.tolist()))


def _paths(trees: Constants, rows: NDArray[np.int32], features: NDArray[np.float64]) -> Iterator[tuple[Path, int]]:
    """Yield the path to each leaf and the leaf's number."""
    width = len(features)
    player = (trees["nodes_featureids"] % width).tolist()  # the second half of the columns is the first, negated
    sides = [
        list(zip(trees[f"nodes_{side}nodeids"].tolist(), trees[f"nodes_{side}leafs"].tolist(), strict=True))
        for side in ("true", "false")
    ]
    seen = np.maximum(rows, 1).tolist()
    covers = _covers(sides, seen)
    taken = _taken(trees, features)
    waiting: list[tuple[int, Path]] = [(root, {}) for root in trees["tree_roots"].tolist()]
    while waiting:
        node, path = waiting.pop()
        z, o = path.get(player[node], (1.0, 1.0))
        for side, leads in zip(sides, (taken[node], not taken[node]), strict=True):
            child, is_leaf = side[node]
            share = (seen[child] if is_leaf else covers[child]) / covers[node]
            longer = path | {player[node]: (z * share, o * leads)}
            if is_leaf:
                yield longer, child
            else:
                waiting.append((child, longer))


def _covers(sides: Sequence[Sequence[tuple[int, int]]], seen: Sequence[int]) -> list[int]:
    """Return the training rows of each node; children stand behind their parents."""
    covers = [0] * len(sides[0])
    for node in range(len(covers) - 1, -1, -1):
        covers[node] = sum(seen[child] if is_leaf else covers[child] for child, is_leaf in (s[node] for s in sides))
    return covers


def _taken(trees: Constants, features: NDArray[np.float64]) -> list[bool]:
    """Say of each node whether the session goes to its true side."""
    values = np.concatenate((features, -features))[trees["nodes_featureids"]]
    missing = np.isnan(values) & (trees["nodes_missing_value_tracks_true"] == 1)
    answer: list[bool] = ((values <= trees["nodes_splits"]) | missing).tolist()
    return answer
