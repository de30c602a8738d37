"""The feature contract: which bytes and numbers of a session a model reads, and how a session becomes arrays.

All texts of a session become one row of tokens, `int32 [N, L]`: a byte plus 256 times the number of its text, the
texts in the contract's order, 0 as padding. One row instead of one per text, because every input and every padded
token costs time in each answer; tokens instead of bytes, because making them in the graph takes five nodes. Numbers
become `float32 [N, K]`, NaN = missing. A missing text has the length NaN, an empty text the length 0; both have no
bytes. Needs numpy only: the appliance imports this module.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.derived import Code, Derived, Figure, Parts, Same, Span, from_values, to_values
from detection.sessions import Columns, Row

CUT_MARK = b"\x01"  # between head and tail of a cut text; also stands for a byte 0 of the text itself
TOKENS = 256  # tokens of a text: one per byte, 0 only as padding
METADATA_PREFIX = "com.etalon."  # keys of the ONNX properties that are ours
NAN = float("nan")
_INT32 = np.dtype("<i4")  # a token as four bytes: the byte, the number of its text, 0, 0
TEXT = "text"  # name of the input with the tokens of all texts
NUMBERS = "numbers"  # name of the input with all numbers

_ALL = slice(None)
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
    def table(self) -> bytes:
        """What stands for each byte of the text."""
        return _FOLDED if self.is_folded else _PLAIN

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
    derived: tuple[Derived, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        version: int,
        texts: tuple[TextInput, ...],
        columns: tuple[str, ...],
        derived: tuple[Derived, ...] = (),
    ) -> Contract:
        """Return a contract of number columns, derived numbers, true lengths and cut flags, in this order."""
        names = tuple(one.name for one in derived)
        lengths = tuple(text.length for text in texts)
        return cls(name, version, texts, columns + names + lengths + tuple(text.was_cut for text in texts), derived)

    @property
    def id(self) -> str:
        return f"{self.name}-{self.version}"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Number columns of the session, without the numbers derived from columns."""
        return self.numbers[: len(self.numbers) - 2 * len(self.texts) - len(self.derived)]

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """All columns of the session that a model of this contract needs, once each."""
        sources = chain.from_iterable(one.columns for one in self.derived)
        return tuple(dict.fromkeys((*(text.column for text in self.texts), *self.columns, *sources)))

    @cached_property
    def text_plan(self) -> tuple[tuple[int, str, int, bytes, bytes], ...]:
        """Number, column, limit, table of bytes and second byte of the tokens of each text: what `encode_row` walks."""
        return tuple(
            (number, text.column, text.limit, text.table, bytes([number])) for number, text in enumerate(self.texts)
        )

    @cached_property
    def derived_plan(self) -> tuple[tuple[Callable[..., float], str, str | None], ...]:
        """How each derived number is made, and its one or two columns: a quarter of the time of asking each time."""
        return tuple((one.of, *(*one.columns, None)[:2]) for one in self.derived)  # type: ignore[misc]

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
        if self.derived:
            value["derived"] = to_values(self.derived)
        return json.dumps(value, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Contract:
        """Return the contract that `to_json` wrote."""
        value = json.loads(text)
        texts = tuple(TextInput(**item) for item in value["texts"])
        derived = from_values(value.get("derived", ()))
        return cls(value["name"], value["version"], texts, tuple(value["numbers"]), derived)


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
_SECOND, _DAY = 1_000_000, 86_400_000_000  # microseconds
# A TLS session is judged when its flow has ended (decision 32), so sizes and duration are known. Nothing is read that
# names one server or one certificate: no address, no serial, no digest of a certificate.
TLS_1 = Contract.of(
    "tls",
    1,
    texts=(
        TextInput("host", "host", 128, is_folded=True),
        TextInput("cert_subject", "cert_subject", 256, is_folded=True),
        TextInput("cert_issuer", "cert_issuer", 256, is_folded=True),
        TextInput("cert_names", "cert_names", 256, is_folded=True),
        TextInput("alpn", "alpn", 64, is_folded=True),
        TextInput("ja4", "ja4", 40, is_folded=True),
        TextInput("tls_version", "tls_version", 32, is_folded=True),
        TextInput("cipher", "cipher", 64, is_folded=True),
    ),
    columns=(
        "dst_port",
        "session_resumed",
        "bytes_to_server",
        "bytes_to_client",
        "packets_to_server",
        "packets_to_client",
    ),
    derived=(
        Span("duration", "flow_start", "flow_end", _SECOND),
        Span("cert_days", "cert_not_before", "cert_not_after", _DAY),
        Span("cert_age", "cert_not_before", "start", _DAY),
        Span("cert_left", "start", "cert_not_after", _DAY),
        Same("cert_self_issued", "cert_subject", "cert_issuer"),
        Code("ja3_code", "ja3"),
        Code("ja3s_code", "ja3s"),
        Code("ja4_ciphers_code", "ja4", "_", 1),  # JA4 = protocol and counts _ ciphers _ extensions
        Code("ja4_extensions_code", "ja4", "_", 2),
        Figure("ja4_ciphers", "ja4", 4, 6),
        Figure("ja4_extensions", "ja4", 6, 8),
        Parts("labels", "host", "."),
        Parts("cert_owners", "cert_names", ","),
    ),
)
CONTRACTS = {contract.id: contract for contract in (HTTP_1, TLS_1)}


def contract_for(protocol: str) -> Contract:
    """Return the newest contract of a protocol."""
    known = [contract for contract in CONTRACTS.values() if contract.name == protocol]
    if not known:
        raise LookupError(f"no feature contract for the protocol {protocol!r}")
    return max(known, key=lambda contract: contract.version)


@dataclass(frozen=True)
class Inputs:
    """Sessions as arrays: the tokens of their texts, not padded, and their numbers."""

    tokens: NDArray[np.uint16]  # of all rows, one after another, and one 0 at the end
    starts: NDArray[np.intp]  # [N], where the tokens of a row begin
    lengths: NDArray[np.intp]  # [N], how many they are
    numbers: NDArray[np.float32]  # [N, K]

    def __len__(self) -> int:
        return len(self.numbers)

    def feed(self, rows: NDArray[np.intp] | slice = _ALL) -> dict[str, NDArray[Any]]:
        """Return some rows by the names of the graph's inputs, padded to the longest of them."""
        starts, lengths = self.starts[rows, np.newaxis], self.lengths[rows, np.newaxis]
        column = np.arange(max(int(lengths.max(initial=0)), 1))
        places = np.where(column < lengths, starts + column, len(self.tokens) - 1)
        return {TEXT: self.tokens.take(places).astype(np.int32), NUMBERS: self.numbers[rows]}

    def take(self, rows: NDArray[np.intp]) -> Inputs:
        """Return some rows, in the order asked for; a row may come twice."""
        return Inputs(self.tokens, self.starts[rows], self.lengths[rows], self.numbers[rows])


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
    return window(_whole(value), text.limit).translate(text.table)


def encode(contract: Contract, rows: Columns) -> Inputs:
    """Return the arrays of a batch of sessions given as columns."""
    count = len(rows[contract.texts[0].column])
    numbers = np.empty((count, len(contract.numbers)), dtype=np.float32)
    with np.errstate(over="ignore"):
        for position, column in enumerate(contract.columns):
            numbers[:, position] = _floats(rows[column])
        for position, one in enumerate(contract.derived, start=len(contract.columns)):
            numbers[:, position] = list(map(one.of, *(rows[column] for column in one.columns)))
    parts: list[Sequence[bytes]] = []
    for position, text in enumerate(contract.texts, start=len(contract.columns) + len(contract.derived)):
        values = rows[text.column]
        whole = {value: _whole(value or "") for value in set(values)}  # hosts, agents and methods repeat
        lengths = {value: NAN if value is None else len(data) for value, data in whole.items()}
        seen = {value: window(data, text.limit).translate(text.table) for value, data in whole.items()}
        numbers[:, position] = [lengths[value] for value in values]
        numbers[:, position + len(contract.texts)] = numbers[:, position] > text.limit
        parts.append([seen[value] for value in values])
    return _inputs(parts, numbers)


def _whole(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")  # never fails: lone surrogates pass


def encode_row(contract: Contract, row: Row) -> dict[str, NDArray[Any]]:
    """Return one session as a feed for the runtime: the hot path of the appliance, the same bits as `encode`."""
    numbers = [NAN if (value := row[column]) is None else value for column in contract.columns]
    for of, first, second in contract.derived_plan:
        numbers.append(of(row[first]) if second is None else of(row[first], row[second]))
    cuts = [0] * len(contract.texts)
    text = marks = b""
    for number, column, limit, table, mark in contract.text_plan:
        value = row[column]
        if not value:
            numbers.append(NAN if value is None else 0)
            continue
        data = value.encode() if value.isascii() else value.encode("utf-8", "surrogatepass")
        length = len(data)
        numbers.append(length)
        if length > limit:
            data, length, cuts[number] = window(data, limit), limit, 1
        text += data.translate(table)
        marks += mark * length
    size = len(text) or 1
    tokens = bytearray(4 * size)
    tokens[::4], tokens[1::4] = text or b"\0", marks or b"\0"
    return {TEXT: np.ndarray((1, size), _INT32, tokens), NUMBERS: _number_row(contract, numbers + cuts)}


def _number_row(contract: Contract, numbers: list[Any]) -> NDArray[np.float32]:
    try:
        return np.ndarray((1, len(numbers)), np.float32, contract.pack_numbers(*numbers))
    except OverflowError:
        with np.errstate(over="ignore"):
            return _floats(numbers).astype(np.float32)[np.newaxis]


def session_columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return rows as columns; all rows have the columns of the first."""
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _inputs(parts: Sequence[Sequence[bytes]], numbers: NDArray[np.float32]) -> Inputs:
    """Return the arrays of texts given as one list of bytes per text."""
    sizes = np.array([[*map(len, part)] for part in parts], dtype=np.intp).T
    number = np.tile(np.arange(len(parts), dtype=np.uint16) * TOKENS, len(numbers))
    tokens = np.zeros(int(sizes.sum()) + 1, dtype=np.uint16)
    tokens[:-1] = np.frombuffer(b"".join(chain.from_iterable(zip(*parts, strict=True))), dtype=np.uint8)
    tokens[:-1] |= np.repeat(number, sizes.ravel())
    lengths = sizes.sum(axis=1)
    return Inputs(tokens, np.cumsum(lengths) - lengths, lengths, numbers)


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
