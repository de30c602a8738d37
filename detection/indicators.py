"""Lists of known-bad things: domains, addresses, JA3, certificates. Read strictly, matched on whole columns at once.

What a list says is a hint for people and a condition of queries. It is never a label.
"""

from __future__ import annotations

import csv
import gzip
import io
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa

from detection.fingerprint import host_name, public_suffix
from detection.sources.lines import GZIP_MAGIC

MOST_ENTRIES = 1_000_000
MOST_BYTES = 256 << 20  # unpacked
LONGEST_NOTE = 200
SHOWN_SKIPPED = 5
_PREFIXES = (".", "*.")  # "*.evil.example" and ".evil.example" mean what "evil.example" means
_HEX = {32: re.compile(r"[0-9a-f]{32}"), 40: re.compile(r"[0-9a-f]{40}")}
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")

HIT_SCHEMA = pa.schema(
    [
        pa.field("rid", pa.int64(), nullable=False),
        pa.field("list", pa.int64(), nullable=False),  # number of the list's version
        pa.field("column", pa.string(), nullable=False),  # where it stands in the session
        pa.field("indicator", pa.string(), nullable=False),  # the entry of the list
    ]
)


class Kind(StrEnum):
    DOMAIN = "domain"
    ADDRESS = "address"
    JA3 = "ja3"
    CERT_SHA1 = "cert-sha1"


COLUMNS: dict[Kind, tuple[str, ...]] = {
    Kind.DOMAIN: ("host",),
    Kind.ADDRESS: ("src_ip", "dst_ip"),
    Kind.JA3: ("ja3",),
    Kind.CERT_SHA1: ("cert_sha1",),
}


class NoListError(ValueError):
    """The file holds no list of that kind; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Indicators:
    """One list: each entry with its note, in the order of the file."""

    kind: Kind
    notes: Mapping[str, str]
    skipped: int = 0
    examples: tuple[str, ...] = ()  # of lines that were skipped
    # of addresses: version and prefix length → the networks' first addresses
    networks: Mapping[tuple[int, int], frozenset[int]] = field(default_factory=dict)

    def find(self, value: str) -> str | None:
        """Return the entry that a value of a session matches: the most specific one."""
        if self.kind is Kind.DOMAIN:
            return self._find_domain(host_name(value))
        if self.kind is Kind.ADDRESS:
            return self._find_address(value)
        return found if (found := value.lower()) in self.notes else None

    def _find_domain(self, name: str) -> str | None:
        while name:
            if name in self.notes:
                return name
            name = name.partition(".")[2]
        return None

    def _find_address(self, value: str) -> str | None:
        try:
            address = ipaddress.ip_address(value)
        except ValueError:
            return None
        bits, number = address.max_prefixlen, int(address)
        for version, length in sorted(self.networks, reverse=True):
            first = number >> (bits - length) << (bits - length) if version == address.version else -1
            if first in self.networks[version, length]:
                return str((ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network)((first, length)))
        return None


def read_list(data: bytes, kind: Kind) -> Indicators:
    """Return the list in a file, plain or gzip: `value` or `value,note` per line; lines with # are comments.

    What is no value of that kind is skipped and counted: lists begin with headers and licences. NoListError when hardly
    anything is left, or the file is too large."""
    notes: dict[str, str] = {}
    skipped: list[str] = []
    missed = 0
    for line, fields in _fields(_text(data)):
        value = _READERS[kind](fields[0].strip())
        if value is None:
            missed += 1
            skipped += [line[:80]] if len(skipped) < SHOWN_SKIPPED else []
        elif value not in notes:
            notes[value] = ", ".join(part.strip() for part in fields[1:] if part.strip())[:LONGEST_NOTE]
        if len(notes) > MOST_ENTRIES:
            raise NoListError(f"more than {MOST_ENTRIES:,} entries")
    if missed > len(notes):
        raise NoListError(f"expected {_EXPECTED[kind]} on each line; got: {skipped[0]!r}")
    if not notes:
        raise NoListError("the file is empty")
    return Indicators(kind, notes, missed, tuple(skipped), _networks(notes) if kind is Kind.ADDRESS else {})


def of_entries(kind: Kind, notes: Mapping[str, str]) -> Indicators:
    """Return a list from entries that `read_list` read once."""
    return Indicators(kind, notes, networks=_networks(notes) if kind is Kind.ADDRESS else {})


def match(table: pa.Table, lists: Mapping[int, Indicators]) -> pa.Table:
    """Return which sessions of a table (with `rid`) match which lists, in the order of lists and columns.

    Each distinct value is looked up once, however many sessions carry it."""
    parts: list[pa.Table] = []
    for name in columns_of(lists.values()):
        encoded = table[name].combine_chunks().dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.chunk(0) if encoded.num_chunks else pa.array([], pa.string()).dictionary_encode()
        values = encoded.dictionary.to_pylist()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        for number, entries in lists.items():
            if name in COLUMNS[entries.kind]:
                found = {code: entry for code, value in enumerate(values) if value and (entry := entries.find(value))}
                if found:
                    parts.append(_hits(table, name, number, codes, found))
    return pa.concat_tables(parts) if parts else HIT_SCHEMA.empty_table()


def columns_of(lists: Iterable[Indicators]) -> list[str]:
    """Return the columns that lists look at."""
    return list(dict.fromkeys(name for entries in lists for name in COLUMNS[entries.kind]))


def _hits(table: pa.Table, name: str, number: int, codes: Any, found: Mapping[int, str]) -> pa.Table:
    rows = np.flatnonzero(np.isin(codes, np.fromiter(found, np.int64)))
    return pa.table(
        {
            "rid": table["rid"].take(pa.array(rows)),
            "list": np.full(len(rows), number, np.int64),
            "column": pa.array([name] * len(rows), pa.string()),
            "indicator": pa.array([found[code] for code in codes[rows].tolist()], pa.string()),
        },
        schema=HIT_SCHEMA,
    )


def match_row(row: Mapping[str, Any], entries: Indicators) -> list[tuple[str, str]]:
    """Return (column, entry) of what one session matches."""
    pairs = ((name, row.get(name)) for name in COLUMNS[entries.kind])
    return [(name, entry) for name, value in pairs if value and (entry := entries.find(value))]


def _text(data: bytes) -> str:
    if data.startswith(GZIP_MAGIC):
        try:
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(MOST_BYTES + 1)
        except (OSError, EOFError, ValueError) as error:
            raise NoListError(f"cannot be unpacked: {error}") from None
    if len(data) > MOST_BYTES:
        raise NoListError(f"larger than {MOST_BYTES >> 20} MiB")
    return data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\0", "")


def _fields(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield records of CSV (notes and licences may span lines), or words of lines that have no comma."""
    try:
        for fields in csv.reader(io.StringIO(text)):
            first = fields[0].strip() if fields else ""
            if first and not first.startswith(("#", ";", "//")):
                words = first.split(None, 1) if len(fields) == 1 else fields
                yield " ".join(fields), [*words]
    except csv.Error as error:
        raise NoListError(f"cannot be read as CSV: {error}") from None


def _domain(text: str) -> str | None:
    for prefix in _PREFIXES:
        text = text.removeprefix(prefix)
    name = text.lower().rstrip(".")
    try:
        name = name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError:
        return None
    labels = name.split(".")
    if len(labels) < 2 or len(name) > 253 or labels[-1].isdigit() or not all(map(_LABEL.fullmatch, labels)):
        return None
    return None if public_suffix(name) == name else name  # "co.uk" would match half a country


def _address(text: str) -> str | None:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    return str(network) if network.prefixlen else None  # 0.0.0.0/0 would match everything


def _hex(length: int) -> Callable[[str], str | None]:
    def read(text: str) -> str | None:
        value = text.lower().replace(":", "")
        return value if _HEX[length].fullmatch(value) else None

    return read


_READERS: dict[Kind, Callable[[str], str | None]] = {
    Kind.DOMAIN: _domain,
    Kind.ADDRESS: _address,
    Kind.JA3: _hex(32),
    Kind.CERT_SHA1: _hex(40),
}
_EXPECTED = {
    Kind.DOMAIN: "a domain name (no public suffix)",
    Kind.ADDRESS: "an address or a network such as 192.0.2.0/24",
    Kind.JA3: "a JA3 (32 hex digits)",
    Kind.CERT_SHA1: "a SHA-1 of a certificate (40 hex digits)",
}


def _networks(entries: Mapping[str, str]) -> dict[tuple[int, int], frozenset[int]]:
    found: dict[tuple[int, int], set[int]] = {}
    for entry in entries:
        network = ipaddress.ip_network(entry)
        found.setdefault((network.version, network.prefixlen), set()).add(int(network.network_address))
    return {key: frozenset(firsts) for key, firsts in found.items()}
