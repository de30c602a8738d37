"""How labels become reference rows: roles by keyed hash, limits against look-alikes, and the frozen snapshot."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any

REGRESSION = "regression"  # must be right, may be trained on
HOLDOUT = "hold-out"  # must be right, never trained or tuned on
FORWARD = "forward"  # proof labels later than the training data
ROLES = frozenset({REGRESSION, HOLDOUT, FORWARD})
POSITIVE = "positive"
NEGATIVE = "negative"

SNAPSHOT_FORMAT = "etalon-snapshot"
SNAPSHOT_VERSION = 1


@dataclass(frozen=True, slots=True)
class ReferencePolicy:
    """How the reference set grows. Changing the share does not move rows that are in: the role is stored."""

    version: int = 1
    holdout_share: float = 0.5
    rows_per_fingerprint_and_host: int = 1
    rows_per_fingerprint_and_day: int = 3

    def __post_init__(self) -> None:
        if not 0.0 <= self.holdout_share <= 1.0:
            raise ValueError(f"holdout_share: expected 0 to 1, got {self.holdout_share}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def role_of(key: bytes, shape: str, host: str, policy: ReferencePolicy) -> str:
    """Return the role of a row at admission: the same for all look-alikes of one host, in every cell of the board.

    Keyed, so that nobody who chooses traffic or labels can choose the role; HMAC-SHA256(key, (shape, host)) < share.
    The look-alike key is the shape and not the fingerprint: a session that moves to another cell with the next version
    keeps its role, and training can drop hold-out look-alikes without knowing any cell."""
    if not key:
        raise ValueError("role_of needs a secret key")
    message = json.dumps([shape, host]).encode()
    drawn = int.from_bytes(hmac.digest(key, message, "sha256")[:8], "big")
    return HOLDOUT if drawn < policy.holdout_share * 2**64 else REGRESSION


class Refusal(StrEnum):
    """Why a settled item gives no (further) reference row."""

    PAIR_IS_IN = "pair-is-in"  # a row of this fingerprint and source host is in the set
    DAY_IS_FULL = "day-is-full"  # look-alikes of that day have filled their share


def refusal(*, rows_of_pair: int, rows_of_day: int, policy: ReferencePolicy) -> Refusal | None:
    """Say why a row may not enter, or None: 5,000 look-alikes must not fill the set.

    `rows_of_pair`: rows in the set with its fingerprint and host; `rows_of_day`: with its fingerprint and day."""
    if rows_of_pair >= policy.rows_per_fingerprint_and_host:
        return Refusal.PAIR_IS_IN
    if rows_of_day >= policy.rows_per_fingerprint_and_day:
        return Refusal.DAY_IS_FULL
    return None


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One reference row as the gate reads it, with a frozen copy of what was judged."""

    subject_key: str
    answer: str  # positive / negative
    rule_hit: bool
    role: str
    shape: str
    fingerprint: str
    host: str
    day: str  # 2026-11-21
    source: str
    title: str
    row: dict[str, Any]  # the session row with all model inputs

    def __post_init__(self) -> None:
        if self.answer not in (POSITIVE, NEGATIVE):
            raise ValueError(f"{self.subject_key}: answer: expected positive or negative, got {self.answer!r}")
        if self.role not in ROLES:
            raise ValueError(f"{self.subject_key}: role: expected one of {sorted(ROLES)}, got {self.role!r}")


def write_snapshot(rows: Iterable[SnapshotRow]) -> bytes:
    """Return the snapshot file: gzip of canonical JSON lines, sorted, so that the order of the rows does not matter."""
    lines = sorted(_canonical(asdict(row)) for row in rows)
    header = _canonical({"format": SNAPSHOT_FORMAT, "version": SNAPSHOT_VERSION, "rows": len(lines)})
    return pack("\n".join([header, *lines, ""]).encode("ascii"))


def read_snapshot(data: bytes) -> list[SnapshotRow]:
    """Read a snapshot file; ValueError says what is wrong with it."""
    header, *lines = unpack(data).decode("ascii").splitlines()
    expected = {"format": SNAPSHOT_FORMAT, "version": SNAPSHOT_VERSION, "rows": len(lines)}
    if json.loads(header) != expected:
        raise ValueError(f"not a whole snapshot: header {header}, expected {_canonical(expected)}")
    names = {field.name for field in fields(SnapshotRow)}
    rows = []
    for number, line in enumerate(lines, start=2):
        values = json.loads(line)
        if values.keys() != names:
            raise ValueError(f"snapshot line {number}: expected the keys {sorted(names)}, got {sorted(values)}")
        rows.append(SnapshotRow(**values))
    return rows


def counts(rows: Sequence[SnapshotRow]) -> dict[str, Any]:
    """Return rows per role and answer, and per source, for lists and for the snapshot's database row."""
    roles: dict[str, dict[str, int]] = {}
    sources: dict[str, int] = {}
    for row in rows:
        answers = roles.setdefault(row.role, {POSITIVE: 0, NEGATIVE: 0})
        answers[row.answer] += 1
        sources[row.source] = sources.get(row.source, 0) + 1
    return {"rows": len(rows), "roles": dict(sorted(roles.items())), "sources": dict(sorted(sources.items()))}


def row_digest(subject_key: str, answer: str, row: Mapping[str, Any]) -> str:
    """SHA-256 of what was judged and what was found: the same case gives the same digest in every house.

    Columns without a value do not count, so that a row from before a column was added keeps its digest."""
    filled = {name: value for name, value in row.items() if value is not None and value != []}
    return _digest({"answer": answer, "row": filled, "subject_key": subject_key})


def event_digest(previous: str, event: Mapping[str, Any]) -> str:
    """SHA-256 of an event with the digest of the one before: changing any of them changes all that follow."""
    return _digest({"event": dict(event), "previous": previous})


def _digest(values: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(values).encode("ascii")).hexdigest()


def content_digest(data: bytes) -> str:
    """SHA-256 of what a packed file holds; equal on every machine, also where another zlib packs differently."""
    return hashlib.sha256(unpack(data)).hexdigest()


def pack(content: bytes) -> bytes:
    """gzip without time and name: the same content gives the same bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=6, mtime=0) as stream:
        stream.write(content)
    return buffer.getvalue()


def unpack(data: bytes) -> bytes:
    """Undo `pack`; ValueError where the file is torn or no gzip at all."""
    try:
        return gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise ValueError(f"not a whole gzip file: {error}") from error


def _canonical(values: dict[str, Any]) -> str:
    # ASCII: sessions hold lone surrogates, which UTF-8 refuses
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
