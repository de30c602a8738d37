"""Which labelled sessions lie nearest to one, as a version sees them, and in what they differ.

A mean of differences per feature (Gower, "A general coefficient of similarity", Biometrics 27, 1971), weighted by the
gain of the feature in the version's trees. A difference is that of mid-ranks among the labelled sessions, so that no
unit counts and a tail of long requests does not stretch everything else; codes are equal or not; a value against none
is as far as can be. The parts of a distance add up to it: the largest are what differs. 0 is alike in all that the
trees read, 1 is the opposite in everything. Agreement of leaves would follow the trees more closely, and could not say
why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from detection.contract import Contract
from detection.derived import Code
from detection.features import feature_names

_WEIGHTS = b"etalon.weights"
_KEY = "key"


@dataclass(frozen=True, slots=True)
class Difference:
    """One feature's part of a distance."""

    feature: str
    own: float  # NaN = missing
    other: float
    part: float


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One labelled session, by the key it was indexed with, and what lies between: the largest part first."""

    key: int
    distance: float
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Index:
    """Features of labelled sessions, of those features that weigh anything."""

    keys: NDArray[np.int64]
    names: tuple[str, ...]
    weights: NDArray[np.float32]  # add up to 1
    values: NDArray[np.float32]  # [sessions, features]; NaN = missing
    exact: NDArray[np.bool_]  # features that are equal or not

    def nearest(self, features: Mapping[str, float], count: int) -> list[Neighbour]:
        """Return the nearest sessions to one whose features are given by name; the lower key of equally near ones."""
        own = np.array([features[name] for name in self.names], np.float32)
        parts = self._parts(own)
        distances = parts.sum(axis=1)
        places = np.lexsort((self.keys, distances))[:count]
        return [self._neighbour(int(place), own, parts[place], float(distances[place])) for place in places]

    def _parts(self, own: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the weighted difference in every feature, [sessions, features]."""
        apart = np.abs(self._ranks - self._ranks_of(own))
        apart[:, self.exact] = self.values[:, self.exact] != own[self.exact]
        missing, here = np.isnan(self.values), np.isnan(own)
        apart[missing != here] = 1
        apart[missing & here] = 0
        parts: NDArray[np.float32] = apart * self.weights
        return parts

    @cached_property
    def _sorted(self) -> list[NDArray[np.float32]]:
        return [np.sort(column[~np.isnan(column)]) for column in self.values.T]

    @cached_property
    def _ranks(self) -> NDArray[np.float32]:
        columns = [_mid_ranks(known, column) for known, column in zip(self._sorted, self.values.T, strict=True)]
        return np.stack(columns, axis=1) if columns else np.zeros_like(self.values)

    def _ranks_of(self, own: NDArray[np.float32]) -> NDArray[np.float32]:
        pairs = zip(self._sorted, own, strict=True)
        return np.array([_mid_ranks(known, value) for known, value in pairs], np.float32)

    def _neighbour(
        self, place: int, own: NDArray[np.float32], parts: NDArray[np.float32], distance: float
    ) -> Neighbour:
        order = [int(one) for one in np.argsort(-parts, kind="stable") if parts[one] > 0]
        differences = tuple(
            Difference(self.names[one], float(own[one]), float(self.values[place, one]), float(parts[one]))
            for one in order
        )
        return Neighbour(int(self.keys[place]), distance, differences)


def _mid_ranks(known: NDArray[np.float32], values: NDArray[np.float32] | np.float32) -> NDArray[np.float32]:
    """Return the share of known values below each value, equal ones counted half."""
    below, upto = (np.searchsorted(known, values, side) for side in ("left", "right"))
    ranks: NDArray[np.float32] = np.asarray((below + upto) / (2 * max(len(known), 1)), np.float32)
    return ranks


def make_index(
    contract: Contract, gains: Mapping[str, float], keys: Sequence[int], features: NDArray[np.float32]
) -> Index:
    """Return an index of sessions by all their features. Where no feature has a gain, all weigh the same."""
    names = feature_names(contract)
    weighed = [name for name in names if gains.get(name, 0) > 0] or names
    weights = np.array([gains.get(name, 0) for name in weighed], np.float64)
    weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(weighed), 1 / len(weighed))
    columns = [names.index(name) for name in weighed]
    return Index(
        np.asarray(keys, np.int64),
        tuple(weighed),
        weights.astype(np.float32),
        np.ascontiguousarray(features[:, columns], np.float32),
        _exact(contract, weighed),
    )


def _exact(contract: Contract, names: Sequence[str]) -> NDArray[np.bool_]:
    codes = {one.name for one in contract.derived if isinstance(one, Code)}
    return np.array([name in codes for name in names], np.bool_)


def write_index(index: Index) -> bytes:
    """Return the index as a Parquet file."""
    columns = {_KEY: pa.array(index.keys)} | {
        name: pa.array(index.values[:, place]) for place, name in enumerate(index.names)
    }
    weights = json.dumps([float(weight) for weight in index.weights]).encode()
    table = pa.table(columns).replace_schema_metadata({_WEIGHTS: weights})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=1)
    return bytes(sink.getvalue())


def read_index(contract: Contract, data: bytes) -> Index:
    """Return what `write_index` wrote."""
    table = pq.read_table(pa.BufferReader(data))
    names = tuple(name for name in table.column_names if name != _KEY)
    weights = np.array(json.loads(table.schema.metadata[_WEIGHTS]), np.float32)
    values = [table.column(name).to_numpy() for name in names]
    return Index(
        table.column(_KEY).to_numpy(),
        names,
        weights,
        np.stack(values, axis=1).astype(np.float32) if values else np.zeros((len(table), 0), np.float32),
        _exact(contract, names),
    )
