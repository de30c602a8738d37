"""Rows of a reference set as they travel between houses: one JSON object per row, checked field by field.

What a house decides for itself (role, look, rule verdict, day) is written for people and never read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from detection.reference import NEGATIVE, POSITIVE, row_digest
from detection.sessions import COLUMNS, HIT_FIELDS, PROTOCOLS, Kind

VERSION = 1
LONGEST_LINE = 4 << 20  # bytes; a session is some thousand
MOST_HITS = 1_000
TEXTS = {"subject_key": 200, "title": 255, "family": 64, "sensor": 100, "source": 100}  # characters
REQUIRED = frozenset({"subject_key", "answer", "row"})
# what an export holds beside the fields that an import reads
TOLD = frozenset({"version", "detector", "role", "rule_hit", "shape", "fingerprint", "host", "day", "protocol"})
KNOWN = frozenset({*TEXTS, *REQUIRED, *TOLD, "digest", "labels", "admitted_at"})
_EARLIEST, _LATEST = 0, 4_102_444_800_000_000  # 1970 to 2100, microseconds
_BIG = 2**63


class BadField(ValueError):  # noqa: N818 (says what is true, as ObjectDoesNotExist does)
    """A line cannot be taken; `field` says where."""

    def __init__(self, field: str, told: str) -> None:
        super().__init__(told)
        self.field = field


@dataclass(frozen=True, slots=True)
class ImportedRow:
    """What an import takes from a line."""

    subject_key: str
    answer: str
    title: str
    family: str
    sensor: str
    source: str
    row: dict[str, Any]  # all columns of a session
    digest: str


def read_row(values: Any, protocol: str) -> ImportedRow:
    """Return what a line says, for a detector of a protocol. Raises BadField."""
    if not isinstance(values, Mapping):
        raise BadField("", "expected a JSON object")
    if unknown := sorted(values.keys() - KNOWN):
        raise BadField(str(unknown[0])[:64], "no such field")
    if missing := sorted(REQUIRED - values.keys()):
        raise BadField(missing[0], "missing")
    if values.get("version", VERSION) != VERSION:
        raise BadField("version", f"expected {VERSION}, got {values['version']!r:.40}")
    texts = {name: _text(name, values.get(name, ""), limit) for name, limit in TEXTS.items()}
    if not texts["subject_key"]:
        raise BadField("subject_key", "empty")
    answer = values["answer"]
    if answer not in (POSITIVE, NEGATIVE):
        raise BadField("answer", f"expected {POSITIVE} or {NEGATIVE}, got {answer!r:.40}")
    if texts["family"] and answer != POSITIVE:
        raise BadField("family", "only positive rows have one")
    row = _row(values["row"], protocol)
    digest = row_digest(texts["subject_key"], answer, row)
    if values.get("digest", digest) != digest:
        raise BadField("digest", f"the row is not the one that was digested: {digest} is right")
    return ImportedRow(answer=answer, row=row, digest=digest, **texts)


def _text(name: str, value: Any, limit: int) -> str:
    if not isinstance(value, str):
        raise BadField(name, f"expected a text, got {type(value).__name__}")
    if len(value) > limit:
        raise BadField(name, f"longer than {limit} characters")
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise BadField(name, "holds NUL or half a character")
    return value


def _row(values: Any, protocol: str) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise BadField("row", "expected an object of session columns")
    row = {column.name: values.get(column.name) for column in COLUMNS}
    if unknown := sorted(values.keys() - row.keys()):
        raise BadField(f"row.{unknown[0]}"[:64], "no such column")
    for column in COLUMNS:
        if (value := row[column.name]) is not None:
            _check(f"row.{column.name}", column.kind, value)
    if row["start"] is None:
        raise BadField("row.start", "missing")
    if row["protocol"] not in PROTOCOLS or row["protocol"] != protocol:
        raise BadField("row.protocol", f"expected {protocol}, got {row['protocol']!r:.40}")
    row["hits"] = row["hits"] or []
    return row


def _check(name: str, kind: Kind, value: Any) -> None:
    if kind is Kind.TEXT:
        if not isinstance(value, str):
            raise BadField(name, f"expected a text, got {type(value).__name__}")
    elif kind is Kind.HITS:
        _check_hits(name, value)
    elif not isinstance(value, int) or isinstance(value, bool) or not -_BIG <= value < _BIG:
        raise BadField(name, f"expected a whole number of 64 bits, got {value!r:.40}")
    elif kind is Kind.TIME and not _EARLIEST <= value < _LATEST:
        raise BadField(name, f"expected microseconds since 1970, got {value}")


def _check_hits(name: str, hits: Any) -> None:
    if not isinstance(hits, list) or len(hits) > MOST_HITS:
        raise BadField(name, f"expected a list of at most {MOST_HITS} rule hits")
    for place, hit in enumerate(hits):
        if not isinstance(hit, dict) or hit.keys() != set(HIT_FIELDS):
            raise BadField(f"{name}[{place}]", f"expected an object with {', '.join(HIT_FIELDS)}")
        for field, value in hit.items():
            if value is not None and not isinstance(value, str | int):
                raise BadField(f"{name}[{place}].{field}", "expected a text or a number")
