"""Labelled sessions for one training: what they hold, how they are frozen into a file, what must not be among them."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.reference import pack, unpack
from detection.sessions import Columns

FORMAT = "etalon-training-set"
FORMAT_VERSION = 1

# where a label comes from, strongest first: where one session has several, the strongest speaks
ORIGINS = ("expert", "dump", "customer", "rule", "language-model", "background")


@dataclass(frozen=True)
class TrainingRows:
    """Sessions with a label each; all sequences have one length."""

    rows: Columns  # session columns, all model inputs among them
    label: NDArray[np.int8]  # 1 positive, 0 negative
    weight: NDArray[np.float64]  # beside the weight of the origin
    source: list[str]  # what leave-one-source-out leaves out: input file or sensor
    origin: list[str]  # one of ORIGINS
    group: list[str]  # shape|host (`group_of`): look-alikes never stand on both sides of a fold
    key: list[str]  # session key

    def __post_init__(self) -> None:
        count = len(self.key)
        lengths = {name: len(column) for name, column in self.rows.items()}
        lengths |= {name: len(getattr(self, name)) for name in ("label", "weight", "source", "origin", "group")}
        wrong = {name: length for name, length in lengths.items() if length != count}
        if wrong:
            raise ValueError(f"training rows: {count} keys, but {wrong}")
        if not np.isin(self.label, (0, 1)).all():
            raise ValueError("training rows: a label is 1 (positive) or 0 (negative)")
        if not (np.isfinite(self.weight) & (self.weight > 0)).all():
            raise ValueError("training rows: a weight is a finite number above 0")
        unknown = set(self.origin) - set(ORIGINS)
        if unknown:
            raise ValueError(f"training rows: unknown origins {sorted(unknown)}, expected one of {ORIGINS}")

    def __len__(self) -> int:
        return len(self.key)

    def take(self, chosen: NDArray[np.intp]) -> TrainingRows:
        """Return the chosen rows, in the order asked for."""
        indices = chosen.tolist()
        return TrainingRows(
            rows={name: [column[index] for index in indices] for name, column in self.rows.items()},
            label=self.label[chosen],
            weight=self.weight[chosen],
            source=[self.source[index] for index in indices],
            origin=[self.origin[index] for index in indices],
            group=[self.group[index] for index in indices],
            key=[self.key[index] for index in indices],
        )

    def canonical(self) -> TrainingRows:
        """Return one row per session in a fixed order: what was collected in another order trains the same model.

        A session with several labels keeps the one of the strongest origin."""
        order = sorted(range(len(self)), key=lambda index: (self.key[index], self._rank(index)))
        first = [index for at, index in enumerate(order) if at == 0 or self.key[order[at - 1]] != self.key[index]]
        return self.take(np.array(first, dtype=np.intp))

    def _rank(self, index: int) -> tuple[int, int, str, str, float]:
        return (
            ORIGINS.index(self.origin[index]),
            int(self.label[index]),
            self.group[index],
            self.source[index],
            float(self.weight[index]),
        )


def group_of(shape: str, host: str) -> str:
    """Return the group of a session: its look-alike key and its source host."""
    return f"{shape}|{host}"


def shape_in(group: str) -> str:
    """Return the look-alike key of a group."""
    return group.partition("|")[0]


def host_in(group: str) -> str:
    """Return the source host of a group."""
    return group.partition("|")[2]


def exclude(
    rows: TrainingRows, holdout_keys: Collection[str], holdout_pairs: Collection[tuple[str, str]]
) -> TrainingRows:
    """Return the rows without the hold-out: neither its sessions, by key, nor their look-alikes, by (shape, host)."""
    keys = frozenset(holdout_keys)
    groups = frozenset(group_of(shape, host) for shape, host in holdout_pairs)
    kept = [index for index in range(len(rows)) if rows.key[index] not in keys and rows.group[index] not in groups]
    return rows.take(np.array(kept, dtype=np.intp))


def write_training_set(rows: TrainingRows) -> bytes:
    """Return the frozen file: gzip of JSON lines. The same rows give the same bytes, whatever their order."""
    rows = rows.canonical()
    header = {"format": FORMAT, "version": FORMAT_VERSION, "rows": len(rows), "columns": list(rows.rows)}
    records = zip(*rows.rows.values(), strict=True)
    lines = [_line(header)]
    for index, record in enumerate(records):
        lines.append(
            _line(
                {
                    "key": rows.key[index],
                    "label": int(rows.label[index]),
                    "weight": float(rows.weight[index]),
                    "source": rows.source[index],
                    "origin": rows.origin[index],
                    "group": rows.group[index],
                    "row": record,
                }
            )
        )
    return pack("\n".join([*lines, ""]).encode("ascii"))


def read_training_set(data: bytes, most: int | None = None) -> TrainingRows:
    """Read a frozen file, or the first rows of it; ValueError says what is wrong with it."""
    lines = unpack(data).splitlines()
    header = json.loads(lines[0]) if lines else {}
    if header.get("format") != FORMAT or header.get("version") != FORMAT_VERSION:
        raise ValueError(f"not a training set of version {FORMAT_VERSION}: {header}")
    if header["rows"] != len(lines) - 1:
        raise ValueError(f"not a whole training set: {len(lines) - 1} rows of {header['rows']}")
    records = [json.loads(line) for line in lines[1 : None if most is None else 1 + most]]
    columns = zip(*(record["row"] for record in records), strict=True) if records else ([] for _ in header["columns"])
    return TrainingRows(
        rows={name: list(column) for name, column in zip(header["columns"], columns, strict=True)},
        label=np.array([record["label"] for record in records], dtype=np.int8),
        weight=np.array([record["weight"] for record in records], dtype=np.float64),
        source=[record["source"] for record in records],
        origin=[record["origin"] for record in records],
        group=[record["group"] for record in records],
        key=[record["key"] for record in records],
    )


def _line(values: dict[str, Any]) -> str:
    # ASCII: sessions hold lone surrogates, which UTF-8 refuses
    return json.dumps(values, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
