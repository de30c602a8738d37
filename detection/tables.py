"""Sessions, raw lines and scores as Arrow tables: one schema each, and how their Parquet files are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from detection.contract import Contract, Inputs, Texts, encode
from detection.sessions import COLUMN_NAMES, COLUMNS, HIT_FIELDS, Columns, Kind

_NUMBERS_OF_HIT = frozenset({"sid", "gid", "rev", "severity"})
HIT_TYPE = pa.struct([(name, pa.int64() if name in _NUMBERS_OF_HIT else pa.string()) for name in HIT_FIELDS])
HITS_TYPE = pa.list_(pa.field("element", HIT_TYPE))
ARROW_TYPES = {
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.TIME: pa.timestamp("us", tz="UTC"),
    Kind.HITS: HITS_TYPE,
}

RID = pa.field("rid", pa.int64(), nullable=False)
SESSION_SCHEMA = pa.schema([RID, *((column.name, ARROW_TYPES[column.kind]) for column in COLUMNS)])
RAW_SCHEMA = pa.schema([pa.field("line", pa.binary(), nullable=False)])
SCORE_SCHEMA = pa.schema(
    [
        RID,
        pa.field("raw", pa.float64(), nullable=False),
        pa.field("verdict", pa.bool_(), nullable=False),
        pa.field("rules", pa.int8(), nullable=False),
        pa.field("cell", pa.int8(), nullable=False),
        pa.field("src_ip", pa.dictionary(pa.int32(), pa.string())),
    ]
)

_ZSTD: dict[str, Any] = {"compression": "zstd", "compression_level": 1}
_SESSION_LEAVES = [
    *(column.name for column in COLUMNS if column.kind is not Kind.HITS),
    *(f"hits.list.element.{name}" for name in HIT_FIELDS),
]
# rid counts up, so its differences are all 1; everything else repeats
SESSION_OPTIONS: dict[str, Any] = {
    **_ZSTD,
    "use_dictionary": _SESSION_LEAVES,
    "column_encoding": {"rid": "DELTA_BINARY_PACKED"},
}
COMPACT_ROW_GROUP = 20_000  # of segments sorted by host: a question about one host reads one or two
# a page fetches one line: it reads one small row group
RAW_ROW_GROUP = 2_000
RAW_OPTIONS: dict[str, Any] = {
    **_ZSTD,
    "use_dictionary": False,
    "write_statistics": False,
    "row_group_size": RAW_ROW_GROUP,
}
SCORE_OPTIONS: dict[str, Any] = {
    **_ZSTD,
    "use_dictionary": ["rules", "cell", "src_ip"],
    "column_encoding": {"rid": "DELTA_BINARY_PACKED"},
}


def rids(segment_id: int, rows: int, first: int = 0) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return ids of rows of a segment: its number in the high half, the row in the low half."""
    return np.arange(first, first + rows, dtype=np.int64) | (segment_id << 32)


def with_rids(table: pa.Table, segment_id: int, first: int) -> pa.Table:
    """Return a table of sessions as rows of a segment, from a row on."""
    return table.set_column(0, RID, pa.array(rids(segment_id, len(table), first)))


def session_table(columns: Columns, *, segment_id: int = 0) -> pa.Table:
    """Return sessions as a table of `SESSION_SCHEMA`; a missing column is null throughout."""
    rows = len(columns["start"])
    arrays = [pa.array(rids(segment_id, rows))]
    for column in COLUMNS:
        values = columns.get(column.name)
        if values is None:
            arrays.append(pa.nulls(rows, ARROW_TYPES[column.kind]))
        elif column.kind is Kind.HITS:
            arrays.append(hit_array(values))
        elif column.kind is Kind.TIME:
            arrays.append(pa.array(values, pa.int64()).view(ARROW_TYPES[Kind.TIME]))
        else:
            arrays.append(pa.array(values, ARROW_TYPES[column.kind]))
    return pa.Table.from_arrays(arrays, schema=SESSION_SCHEMA)


def hit_array(hits: Sequence[Sequence[dict[str, Any]] | None]) -> pa.ListArray:
    """Return lists of hits as an Arrow array; built flat, because most sessions have none."""
    offsets = np.zeros(len(hits) + 1, dtype=np.int32)
    np.cumsum([len(one) if one else 0 for one in hits], out=offsets[1:])
    flat = list(chain.from_iterable(one for one in hits if one))
    leaves = [pa.array([hit[name] for hit in flat], HIT_TYPE.field(name).type) for name in HIT_FIELDS]
    structs = pa.StructArray.from_arrays(leaves, fields=list(HIT_TYPE))
    return pa.ListArray.from_arrays(pa.array(offsets), structs, type=HITS_TYPE)


def with_hits(table: pa.Table, more: Mapping[int, Sequence[dict[str, Any]]]) -> pa.Table:
    """Return a table of sessions whose rows named have more hits."""
    hits = table.column("hits").to_pylist()
    for row, late in more.items():
        hits[row] = [*(hits[row] or ()), *late]
    return table.set_column(table.schema.get_field_index("hits"), table.schema.field("hits"), hit_array(hits))


def raw_table(lines: Sequence[bytes]) -> pa.Table:
    """Return lines as a table of `RAW_SCHEMA`; joined at once, because most of a segment's bytes are here."""
    offsets = np.zeros(len(lines) + 1, dtype=np.int32)
    np.cumsum([*map(len, lines)], out=offsets[1:])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(lines))]
    return pa.Table.from_arrays([pa.Array.from_buffers(pa.binary(), len(lines), buffers)], schema=RAW_SCHEMA)


def columns_of(table: pa.Table) -> dict[str, list[Any]]:
    """Return a table of sessions as columns of plain values: times are microseconds, as `detection.sessions` says."""
    return {name: _plain(table.column(name)).to_pylist() for name in table.column_names}


def inputs_of(contract: Contract, table: pa.Table) -> Inputs:
    """Return the arrays of a table of sessions, from its buffers: a text becomes a Python object only to be derived."""
    texts = {text.column for text in contract.texts}
    derived = {column for one in contract.derived for column in one.columns} - texts
    columns: dict[str, Any] = {}
    for name in contract.reads:
        column = table.column(name)
        if name in texts:
            columns[name] = _texts(column)
        elif name in derived:
            columns[name] = _plain(column).to_pylist()
        else:
            columns[name] = column.to_numpy()
    return encode(contract, columns)


def _texts(column: pa.ChunkedArray) -> Texts:
    """Return a column of texts, each distinct one once: hosts, agents and whole requests repeat."""
    coded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    texts = coded.dictionary
    if not len(texts):
        return Texts.of(())
    _, offsets, data = texts.buffers()
    begins = np.frombuffer(offsets, np.int32)[: len(texts) + 1].astype(np.intp)
    missing = texts.is_null().to_numpy(zero_copy_only=False)
    return Texts(np.frombuffer(data or b"", np.uint8)[: begins[-1]], begins, missing, coded.indices.to_numpy())


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """Return a table of sessions as rows of plain values."""
    columns = columns_of(table)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


assert SESSION_SCHEMA.names == ["rid", *COLUMN_NAMES]
