"""Who owns an address: from a MaxMind ASN file or a CSV of ranges on this machine, never by asking anybody."""

from __future__ import annotations

import bisect
import csv
import gzip
import hashlib
import io
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import maxminddb

LONGEST_ORG = 100
_MMDB_MARK = b"\xab\xcd\xefMaxMind.com"
_MARK_WITHIN = 128 << 10  # of the file's end
_MOST_BAD = 0.5  # of the lines of a CSV


class NoGeoError(ValueError):
    """The file is neither; the message says what was expected."""


class _Source(Protocol):
    def org(self, address: str) -> str | None: ...


@dataclass(frozen=True)
class Geo:
    """One source of owners, known by the SHA-256 of its file."""

    digest: str
    _source: _Source = field(repr=False)

    def orgs(self, addresses: Sequence[str | None]) -> list[str | None]:
        """Return the owner of each address; each distinct one is looked up once."""
        known = {address: self._source.org(address) for address in {*addresses} if address}
        return [known.get(address) if address else None for address in addresses]


def open_geo(path: str | Path) -> Geo:
    """Return the source in a file. Raises NoGeoError, OSError. Kept in memory until the file changes."""
    stat = Path(path).stat()
    return _open(str(path), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=2)
def _open(path: str, _changed: int, _size: int) -> Geo:
    data = Path(path).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise NoGeoError(f"{path}: cannot be unpacked: {error}") from None
    return Geo(digest, _Mmdb(data, path) if _MMDB_MARK in data[-_MARK_WITHIN:] else _ranges(data, path))


class _Mmdb:
    """A MaxMind DB with autonomous systems."""

    def __init__(self, data: bytes, path: str) -> None:
        try:
            self._reader: Any = maxminddb.open_database(io.BytesIO(data), maxminddb.MODE_FD)
        except (maxminddb.InvalidDatabaseError, ValueError) as error:
            raise NoGeoError(f"{path}: {error}") from None

    def org(self, address: str) -> str | None:
        try:
            found = self._reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):  # no address, or IPv6 in a file of IPv4
            return None
        org = found.get("autonomous_system_organization") if isinstance(found, dict) else None
        return org[:LONGEST_ORG] if isinstance(org, str) and org else None


@dataclass(frozen=True, slots=True)
class _Ranges:
    """Ranges by first address, of IPv4 and of IPv6. Where ranges lie in one another, the narrowest speaks."""

    firsts: dict[int, list[int]]
    ranges: dict[int, list[tuple[int, int, str]]]

    def org(self, address: str) -> str | None:
        try:
            asked = ipaddress.ip_address(address)
        except ValueError:
            return None
        ranges, number = self.ranges[asked.version], int(asked)
        place = bisect.bisect_right(self.firsts[asked.version], number) - 1
        if place < 0 or number > ranges[place][1]:
            return None
        return ranges[place][2] or None


def _ranges(data: bytes, path: str) -> _Ranges:
    found: dict[int, list[tuple[int, int, str]]] = {4: [], 6: []}
    bad, example = 0, ""
    for fields in _fields(data.decode("utf-8", "replace").removeprefix("\ufeff")):
        if (told := _range(fields)) is None:
            bad, example = bad + 1, example or " ".join(fields)[:80]
        else:
            version, first, last, org = told
            found[version].append((first, last, org))
    good = sum(map(len, found.values()))
    if not good or bad > _MOST_BAD * (good + bad):
        expected = "network,...,organisation or first,last,...,organisation on each line"
        raise NoGeoError(f"{path}: expected a MaxMind DB or {expected}; got: {example!r}")
    flat = {version: _flat(ranges) for version, ranges in found.items()}
    return _Ranges({version: [first for first, *_ in ranges] for version, ranges in flat.items()}, flat)


def _fields(text: str) -> Iterable[list[str]]:
    separator = "\t" if "\t" in text[:4096] else ","
    try:
        for fields in csv.reader(io.StringIO(text.replace("\0", "")), delimiter=separator):
            if fields and not fields[0].startswith("#"):
                yield [one.strip() for one in fields]
    except csv.Error as error:
        raise NoGeoError(f"cannot be read as CSV: {error}") from None


def _range(fields: Sequence[str]) -> tuple[int, int, int, str] | None:
    """Return version, first and last address, organisation; None when the line tells none."""
    try:
        if "/" in fields[0] and len(fields) > 1:
            network = ipaddress.ip_network(fields[0], strict=False)
            return network.version, int(network[0]), int(network[-1]), fields[-1][:LONGEST_ORG]
        if len(fields) > 2:
            first, last = ipaddress.ip_address(fields[0]), ipaddress.ip_address(fields[1])
            if first.version == last.version and int(first) <= int(last):
                return first.version, int(first), int(last), fields[-1][:LONGEST_ORG]
    except ValueError:
        pass
    return None


def _flat(ranges: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Return ranges that do not overlap, in order: a wide one is cut where a narrower one lies in it."""
    flat: list[tuple[int, int, str]] = []
    open_: list[tuple[int, str]] = []  # last address and organisation of the ranges we are in
    at = 0  # everything before is told

    def tell(until: int) -> None:
        nonlocal at
        while open_ and at <= until:
            last, org = open_[-1]
            end = min(last, until)
            if at <= end:
                flat.append((at, end, org))
                at = end + 1
            if last <= until:
                open_.pop()
            else:
                break

    for first, last, org in sorted(ranges, key=lambda one: (one[0], -one[1])):
        tell(first - 1)
        while open_ and open_[-1][0] < first:
            open_.pop()
        at = max(at, first)
        open_.append((last, org))
    tell(max((last for _first, last, _org in ranges), default=-1))
    return flat
