"""The histories of all entities of an organisation as columns of one file, and back. 176 bytes each before packing.

Written in batches, so that the picture of one entity unpacks some thousand others and not a million."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc

from detection.adaptive import Entities
from traffic import storage

BINS = 40
BATCH = 16_384  # entities
SCHEMA = pa.schema(
    [
        ("counts", pa.list_(pa.float32(), BINS)),
        ("weight", pa.float32()),
        ("seen", pa.int32()),
        ("threshold", pa.float32()),
        ("last", pa.int32()),
    ]
)


class StateDamaged(RuntimeError):  # noqa: N818
    """The file is not what its row says."""


def put(path: str, entities: Entities) -> str:
    """Store the histories; return the SHA-256 of the file."""
    sink = pa.BufferOutputStream()
    with ipc.new_file(sink, SCHEMA, options=ipc.IpcWriteOptions(compression="lz4")) as writer:
        for begin in range(0, max(len(entities), 1), BATCH):
            part = slice(begin, begin + BATCH)
            flat = pa.array(np.ascontiguousarray(entities.counts[part], np.float32).ravel())
            columns = [
                pa.FixedSizeListArray.from_arrays(flat, BINS),
                pa.array(entities.weight[part], pa.float32()),
                pa.array(entities.seen[part], pa.int32()),
                pa.array(entities.threshold[part], pa.float32()),
                pa.array(entities.last[part], pa.int32()),
            ]
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
    return storage.put_bytes(path, sink.getvalue())


def get(path: str, digest: str) -> Entities:
    """Return the histories. Raises StateDamaged, FileNotFoundError."""
    data = storage.get_bytes(path)
    if hashlib.sha256(data).hexdigest() != digest:
        raise StateDamaged(f"{path} is not the file that was written: its SHA-256 differs")
    with ipc.open_file(pa.BufferReader(data)) as reader:
        parts = [_entities(reader.get_batch(index)) for index in range(reader.num_record_batches)]
    return Entities(*(np.concatenate([getattr(part, name) for part in parts]) for name in SCHEMA.names))


def row_of(path: str, row: int) -> Entities | None:
    """Return the history of one entity as a single row; None when the file does not reach so far."""
    with storage.open_input(path) as file, ipc.open_file(file) as reader:
        index = row // BATCH
        if index >= reader.num_record_batches:
            return None
        batch = reader.get_batch(index)
        return _entities(batch.slice(row % BATCH, 1)) if row % BATCH < batch.num_rows else None


def put_thresholds(path: str, thresholds: Any) -> None:
    """Store thresholds alone: newer nights compare with them."""
    storage.put_bytes(path, np.asarray(thresholds, "<f4").tobytes())


def thresholds(path: str) -> Any:
    """Return the thresholds of a night, float32 [N]."""
    return np.frombuffer(storage.get_bytes(path), "<f4")


def threshold_at(path: str, row: int) -> float | None:
    """Return one threshold of a night; None when the entity is younger."""
    with storage.open_input(path) as file:
        if (row + 1) * 4 > file.size():
            return None
        return float(np.frombuffer(file.read_at(4, row * 4), "<f4")[0])


def _entities(batch: pa.RecordBatch) -> Entities:
    counts = batch.column("counts").flatten().to_numpy().reshape(-1, BINS)
    others = [batch.column(name).to_numpy() for name in SCHEMA.names[1:]]
    return Entities(counts.copy(), *(column.copy() for column in others))
