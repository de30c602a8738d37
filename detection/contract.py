"""The feature contract: which bytes and numbers of a session a model reads, and how a session becomes arrays.

All texts of a session become one row of bytes, `uint8 [N, L]`: the texts in the contract's order with a separator
between them, 0 as padding. One row instead of one per text, because every input and every padded byte costs time in
each answer. Numbers become `float32 [N, K]`, NaN = missing. A missing text has the length NaN, an empty text the
length 0; both have no bytes. Needs numpy only: the appliance imports this module.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.sessions import Columns, Row

CUT_MARK = b"\x01"  # between head and tail of a cut text; also stands for a byte 0 of the text itself
SEPARATOR = b"\xff"  # between two texts; UTF-8 has no such byte
METADATA_PREFIX = "com.etalon."  # keys of the ONNX properties that are ours
NAN = float("nan")
TEXT = "text"  # name of the input with the bytes of all texts
NUMBERS = "numbers"  # name of the input with all numbers

_PLAIN = bytes.maketrans(b"\0", CUT_MARK)
_FOLDED = bytes(range(256)).lower().translate(_PLAIN)  # ASCII letters only


@dataclass(frozen=True, slots=True)
class TextInput:
    """One text of a session. A text longer than `limit` bytes keeps its head and its tail."""

    name: str
    column: str
    limit: int
    is_folded: bool  # capital ASCII letters are read as small ones

    @property
    def length(self) -> str:
        """Name of the number that holds the true length in bytes."""
        return f"{self.name}_length"

    @property
    def was_cut(self) -> str:
        """Name of the number that is 1 when the text was longer than the limit."""
        return f"{self.name}_was_cut"


@dataclass(frozen=True)
class Contract:
    """What a model reads, as a value. A changed limit, name, order or feature is a new version."""

    name: str
    version: int
    texts: tuple[TextInput, ...]
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, name: str, version: int, texts: tuple[TextInput, ...], columns: tuple[str, ...]) -> Contract:
        """Return a contract of number columns, true lengths and cut flags, in this order."""
        if [text.is_folded for text in texts] != sorted(text.is_folded for text in texts):
            raise ValueError("texts that keep their capital letters come first")
        lengths = tuple(text.length for text in texts)
        return cls(name, version, texts, columns + lengths + tuple(text.was_cut for text in texts))

    @property
    def id(self) -> str:
        return f"{self.name}-{self.version}"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Number columns of the session, without the numbers derived from texts."""
        return self.numbers[: len(self.numbers) - 2 * len(self.texts)]

    @cached_property
    def text_plan(self) -> tuple[tuple[str, int], ...]:
        """Column and limit of each text: what `encode_row` walks."""
        return tuple((text.column, text.limit) for text in self.texts)

    @cached_property
    def unfolded(self) -> int:
        """How many texts keep their capital letters: the first ones."""
        return sum(not text.is_folded for text in self.texts)

    @cached_property
    def pack_numbers(self) -> Callable[..., bytes]:
        """Packs numbers as float32: a fifth of the time of `numpy.array`."""
        return struct.Struct(f"={len(self.numbers)}f").pack

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """Return the contract as canonical JSON."""
        texts = [asdict(text) for text in self.texts]
        value = {"name": self.name, "numbers": list(self.numbers), "texts": texts, "version": self.version}
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """Return the contract that `to_json` wrote."""
        value = json.loads(text)
        texts = tuple(TextInput(**item) for item in value["texts"])
        return cls(value["name"], value["version"], texts, tuple(value["numbers"]))


# Nothing that comes after the verdict is wanted (bytes and packets of the flow) and nothing that only sessions with
# rule hits have. The order of the texts is the order of the bytes.
HTTP_1 = Contract.of(
    "http",
    1,
    texts=(
        TextInput("uri", "uri", 512, is_folded=False),
        TextInput("host", "host", 128, is_folded=True),
        TextInput("user_agent", "user_agent", 256, is_folded=True),
        TextInput("uri_decoded", "uri_decoded", 512, is_folded=True),
        TextInput("referer", "referer", 256, is_folded=True),
        TextInput("content_type", "content_type", 64, is_folded=True),
        TextInput("method", "method", 16, is_folded=True),
    ),
    columns=("status", "response_bytes", "dst_port"),
)
CONTRACTS = {contract.id: contract for contract in (HTTP_1,)}


def contract_for(protocol: str) -> Contract:
    """Return the newest contract of a protocol."""
    known = [contract for contract in CONTRACTS.values() if contract.name == protocol]
    if not known:
        raise LookupError(f"no feature contract for the protocol {protocol!r}")
    return max(known, key=lambda contract: contract.version)


@dataclass(frozen=True)
class Inputs:
    """Sessions as arrays: the bytes of their texts and their numbers."""

    text: NDArray[np.uint8]  # [N, L]
    numbers: NDArray[np.float32]  # [N, K]
    lengths: NDArray[np.intp]  # [N], bytes of each row that are no padding

    def __len__(self) -> int:
        return len(self.numbers)

    def feed(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by the names of the graph's inputs."""
        return {TEXT: self.text, NUMBERS: self.numbers}


def window(data: bytes, limit: int) -> bytes:
    """Return the text as it is, or its head and tail around the cut mark."""
    if len(data) <= limit:
        return data
    head, tail = window_halves(limit)
    return data[:head] + CUT_MARK + data[len(data) - tail :]


def window_halves(limit: int) -> tuple[int, int]:
    """Return how many bytes of head and of tail a cut text keeps."""
    head = limit // 2
    return head, limit - head - 1


def seen_bytes(text: TextInput, value: str) -> bytes:
    """Return the bytes of one text as the graph sees them."""
    data = value.encode("utf-8", "surrogatepass")  # never fails: lone surrogates pass
    return window(data, text.limit).translate(_FOLDED if text.is_folded else _PLAIN)


def encode(contract: Contract, rows: Columns) -> Inputs:
    """Return the arrays of a batch of sessions given as columns."""
    count = len(rows[contract.texts[0].column])
    numbers = np.empty((count, len(contract.numbers)), dtype=np.float32)
    with np.errstate(over="ignore"):
        for position, column in enumerate(contract.columns):
            numbers[:, position] = _floats(rows[column])
    parts: list[list[bytes]] = []
    for position, text in enumerate(contract.texts, start=len(contract.columns)):
        table = _FOLDED if text.is_folded else _PLAIN
        whole = [b"" if not value else value.encode("utf-8", "surrogatepass") for value in rows[text.column]]
        lengths = np.fromiter(map(len, whole), dtype=np.float64, count=count)
        was_cut = lengths > text.limit
        for row in np.flatnonzero(was_cut):
            whole[row] = window(whole[row], text.limit)
        lengths[[row for row, value in enumerate(rows[text.column]) if value is None]] = NAN
        numbers[:, position] = lengths
        numbers[:, position + len(contract.texts)] = was_cut
        parts.append([data.translate(table) for data in whole])
    return _inputs([SEPARATOR.join(row) for row in zip(*parts, strict=True)], numbers)


def encode_row(contract: Contract, row: Row) -> dict[str, NDArray[Any]]:
    """Return one session as a feed for the runtime: the hot path of the appliance, the same bits as `encode`."""
    numbers = [NAN if (value := row[column]) is None else value for column in contract.columns]
    parts = []
    cuts = []
    for column, limit in contract.text_plan:
        value = row[column]
        if not value:
            numbers.append(NAN if value is None else 0)
            parts.append(b"")
            cuts.append(0)
            continue
        data = value.encode() if value.isascii() else value.encode("utf-8", "surrogatepass")
        length = len(data)
        numbers.append(length)
        if length > limit:
            data = window(data, limit)
            cuts.append(1)
        else:
            cuts.append(0)
        parts.append(data)
    unfolded = contract.unfolded
    plain = SEPARATOR.join(parts[:unfolded]).translate(_PLAIN)
    joined = plain + SEPARATOR + SEPARATOR.join(parts[unfolded:]).translate(_FOLDED)
    return {TEXT: np.ndarray((1, len(joined)), np.uint8, joined), NUMBERS: _number_row(contract, numbers + cuts)}


def _number_row(contract: Contract, numbers: list[Any]) -> NDArray[np.float32]:
    try:
        return np.ndarray((1, len(numbers)), np.float32, contract.pack_numbers(*numbers))
    except OverflowError:
        with np.errstate(over="ignore"):
            return _floats(numbers).astype(np.float32)[np.newaxis]


def session_columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return rows as columns; all rows have the columns of the first."""
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _inputs(texts: Sequence[bytes], numbers: NDArray[np.float32]) -> Inputs:
    # one padded row per text: a mask says where the bytes of the joined texts go
    lengths = np.fromiter(map(len, texts), dtype=np.intp, count=len(texts))
    width = max(int(lengths.max(initial=0)), 1)
    matrix = np.zeros((len(texts), width), dtype=np.uint8)
    matrix[np.arange(width) < lengths[:, np.newaxis]] = np.frombuffer(b"".join(texts), dtype=np.uint8)
    return Inputs(matrix, numbers, lengths)


def _floats(values: Sequence[Any]) -> NDArray[np.float64]:
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:  # an integer beyond every float, from a hostile sensor
        return np.array([_float(value) for value in values], dtype=np.float64)


def _float(value: Any) -> float:
    try:
        return NAN if value is None else float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
