"""What lies between two snapshots of a reference set: rows that came or went, and whose role or answer changed.

Snapshots are sorted lines of canonical JSON, so rows that stayed are equal lines and are never parsed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from detection.reference import unpack

Kind = Literal["added", "retired", "role", "answer", "changed"]
KINDS: tuple[Kind, ...] = ("added", "retired", "role", "answer", "changed")


@dataclass(frozen=True, slots=True)
class Change:
    """One row that is not the same in both snapshots; `old` or `new` is empty where it is in one of them only."""

    kind: Kind
    subject_key: str
    title: str
    old: str  # role and answer
    new: str

    @property
    def key(self) -> str:
        """What a page of changes is ordered by."""
        return f"{KINDS.index(self.kind)}|{self.subject_key}|{self.old}|{self.new}"


def difference(old: bytes, new: bytes) -> list[Change]:
    """Return the changes from one snapshot file to another, ordered by their keys."""
    before, after = _lines(old), _lines(new)
    gone, come = _rows(before - after), _rows(after - before)
    found = [_changed(gone[name], come[name]) for name in gone.keys() & come.keys()]
    found += [_of("retired", row, old=_said(row)) for name, row in gone.items() if name not in come]
    found += [_of("added", row, new=_said(row)) for name, row in come.items() if name not in gone]
    return sorted(found, key=lambda change: change.key)


def _lines(data: bytes) -> set[str]:
    _header, *lines = unpack(data).decode("ascii").splitlines()
    return set(lines)


def _rows(lines: set[str]) -> dict[tuple[str, str, str], dict[str, Any]]:
    rows = (json.loads(line) for line in lines)
    return {(row["subject_key"], row["fingerprint"], row["host"]): row for row in rows}


def _changed(old: dict[str, Any], new: dict[str, Any]) -> Change:
    kind: Kind = "answer" if old["answer"] != new["answer"] else "role" if old["role"] != new["role"] else "changed"
    return _of(kind, new, old=_said(old), new=_said(new))


def _of(kind: Kind, row: dict[str, Any], *, old: str = "", new: str = "") -> Change:
    return Change(kind, row["subject_key"], row["title"], old, new)


def _said(row: dict[str, Any]) -> str:
    return f"{row['role']} {row['answer']}"
