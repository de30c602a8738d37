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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.derived import Code, Derived, Figure, Parts, Same, Span, from_values, to_values
from detection.sessions import Row

CUT_MARK = b"\x01"  # between head and tail of a cut text; also stands for a byte 0 of the text itself
TOKENS = 256  # tokens of a text: one per byte, 0 only as padding
METADATA_PREFIX = "com.etalon."  # keys of the ONNX properties that are ours
NAN = float("nan")
_CUT_MARK = np.frombuffer(CUT_MARK, dtype=np.uint8)
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
    """Sessions as arrays: the tokens of their texts, each distinct text once, and their numbers."""

    tokens: NDArray[np.uint16]
    starts: NDArray[np.intp]  # [N, T], where the tokens of each text of a row begin
    lengths: NDArray[np.intp]  # [N, T], how many they are
    numbers: NDArray[np.float32]  # [N, K]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Tokens of each row."""
        sizes: NDArray[np.intp] = self.lengths.sum(axis=1)
        return sizes

    def feed(self, rows: NDArray[np.intp] | slice = _ALL) -> dict[str, NDArray[Any]]:
        """Return some rows by the names of the graph's inputs, padded to the longest of them."""
        starts, lengths = self.starts[rows], self.lengths[rows]
        sizes, flat = lengths.sum(axis=1), lengths.ravel()
        places = np.repeat(starts.ravel() - (np.cumsum(flat) - flat), flat)
        places += np.arange(len(places))
        text = np.zeros((len(lengths), max(int(sizes.max(initial=0)), 1)), dtype=np.int32)
        text[np.arange(text.shape[1]) < sizes[:, np.newaxis]] = self.tokens.take(places)
        return {TEXT: text, NUMBERS: self.numbers[rows]}

    def distinct(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the numbers of rows that differ from one another, and for every row which of these it equals.

        Rows are told apart by where their texts lie, so equal texts that lie apart count as different."""
        told = np.hstack((self.starts, self.lengths, self.numbers.view(np.int32)), dtype=np.int64)
        keys = told @ np.random.default_rng(told.shape[1]).integers(-(1 << 62), 1 << 62, told.shape[1])  # wraps round
        _, first, place = np.unique(keys, return_index=True, return_inverse=True)
        if not np.array_equal(told.take(first.take(place), axis=0), told):  # two rows with one key, by chance or malice
            first = place = np.arange(len(told))
        return first, place

    def take(self, rows: NDArray[np.intp]) -> Inputs:
        """Return some rows, in the order asked for; a row may come twice."""
        return Inputs(self.tokens, self.starts[rows], self.lengths[rows], self.numbers[rows])


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts as bytes, one text after another: as Arrow keeps them, or each distinct one once."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.intp]  # [D + 1], where each of D texts begins, and the end of the last
    missing: NDArray[np.bool_]  # [D]
    places: NDArray[np.intp] | None = None  # the text of each row; None: D rows, each its own

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Texts:
        """Return plain texts as such a column; hosts, agents and methods repeat."""
        place = {value: number for number, value in enumerate(dict.fromkeys(values))}
        texts = [_whole(value or "") for value in place]
        offsets = np.zeros(len(texts) + 1, dtype=np.intp)
        np.cumsum([*map(len, texts)], out=offsets[1:])
        missing = np.array([value is None for value in place], dtype=np.bool_)
        places = np.fromiter(map(place.__getitem__, values), np.intp, len(values))
        return cls(np.frombuffer(b"".join(texts), dtype=np.uint8), offsets, missing, places)

    def __len__(self) -> int:
        return len(self.missing if self.places is None else self.places)

    def by_row(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what is known of each text for each row."""
        return values if self.places is None else values[self.places]

    def to_list(self) -> list[str | None]:
        data, offsets = self.data.tobytes(), self.offsets.tolist()
        texts = [data[at:end].decode("utf-8", "surrogatepass") for at, end in pairwise(offsets)]
        distinct = np.array([*texts, None], dtype=object)[:-1]
        distinct[self.missing] = None
        told: list[str | None] = self.by_row(distinct).tolist()
        return told

    def windows(self, limit: int) -> tuple[NDArray[np.uint8], NDArray[np.intp], NDArray[np.intp]]:
        """Return the texts, long ones cut as `window` does: their bytes, where each of D begins, its length."""
        lengths = np.diff(self.offsets)
        surplus = np.maximum(lengths - limit, 0)
        starts = self.offsets[:-1] - (np.cumsum(surplus) - surplus)
        head, tail = window_halves(limit)
        pieces, at = [], 0
        for text in np.flatnonzero(surplus):
            pieces += [self.data[at : self.offsets[text] + head], _CUT_MARK]
            at = self.offsets[text + 1] - tail
        data = np.concatenate([*pieces, self.data[at:]]) if pieces else self.data
        return data, starts, np.where(self.missing, 0, lengths - surplus)


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


def encode(contract: Contract, rows: Mapping[str, Sequence[Any] | NDArray[Any] | Texts]) -> Inputs:
    """Return the arrays of a batch of sessions given as columns: plain values, or arrays and `Texts`."""
    count, texts = len(rows[contract.texts[0].column]), len(contract.texts)
    numbers = np.empty((count, len(contract.numbers)), dtype=np.float32)
    starts = np.empty((count, texts), dtype=np.intp)
    lengths = np.empty((count, texts), dtype=np.intp)
    with np.errstate(over="ignore"):
        for position, column in enumerate(contract.columns):
            numbers[:, position] = floats(rows[column])
        plain = {column: _plain(rows[column]) for one in contract.derived for column in one.columns}
        for position, one in enumerate(contract.derived, start=len(contract.columns)):
            numbers[:, position] = list(map(one.of, *(plain[column] for column in one.columns)))
    tokens: list[NDArray[np.uint16]] = []
    begin = 0
    for number, text in enumerate(contract.texts):
        values: Any = rows[text.column]
        seen = values if isinstance(values, Texts) else Texts.of(values)
        data, begins, sizes = seen.windows(text.limit)
        tokens.append(_token_table(number, text.table).take(data))
        starts[:, number] = seen.by_row(begins + begin)
        lengths[:, number] = seen.by_row(sizes)
        begin += len(data)
        position = len(contract.columns) + len(contract.derived) + number
        whole = np.where(seen.missing, NAN, np.diff(seen.offsets))
        numbers[:, position] = seen.by_row(whole)
        numbers[:, position + texts] = seen.by_row(whole > text.limit)
    return Inputs(np.concatenate(tokens), starts, lengths, numbers)


def _token_table(number: int, table: bytes) -> NDArray[np.uint16]:
    """Return the token of each byte of a text."""
    return np.frombuffer(table, dtype=np.uint8) + np.uint16(number * TOKENS)


def _plain(values: Any) -> Sequence[Any]:
    return values.to_list() if isinstance(values, Texts) else values


def _whole(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")  # never fails: lone surrogates pass


def session_columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Return rows as columns; all rows have the columns of the first."""
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def floats(values: Any) -> NDArray[np.float64]:
    """Return numbers as doubles: None is NaN, what no double holds is infinite."""
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:  # an integer beyond every float, from a hostile sensor
        return np.array([_float(value) for value in values], dtype=np.float64)


def _float(value: Any) -> float:
    try:
        return NAN if value is None else float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
