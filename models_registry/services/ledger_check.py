"""Read the ledger through: is the chain whole, do rows and files still hold what it says of them?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import models

from models_registry.models import LedgerEntry, LedgerHead, LedgerKind
from models_registry.services.ledger import RECORDED, chained, plain, row_name
from models_registry.services.snapshots import digest_now
from traffic import storage

CHUNK = 1 << 20  # bytes of a file read at once
BATCH = 500  # rows asked for at once


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as the ledger says."""

    entry: int | None  # number of the entry that says otherwise
    place: str  # a row, a file, an entry
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" + (f" (entry {self.entry})" if self.entry else "")


@dataclass(slots=True)
class Checked:
    """What was read, and what was found."""

    entries: int = 0
    rows: int = 0
    files: int = 0
    head: str = ""
    findings: list[Finding] = field(default_factory=list)


# row → column → what the newest entry that speaks of it says, and that entry's number
Said = dict[str, dict[str, tuple[Any, int]]]


def verify(*, files: bool = True) -> Checked:
    """Check chain, rows and files; every difference is found and named, none stops the reading."""
    checked = Checked()
    said: Said = {}
    before = _chain(checked, said)
    for model, claimed in _by_model(said).items():
        checked.rows += len(claimed)
        checked.findings += _rows(model, claimed)
    checked.findings += _unrecorded(said, before)
    if files:
        _files(checked, said)
    return checked


def _chain(checked: Checked, said: Said) -> dict[str, int]:
    """Walk the entries in order; return how far each table went when the ledger began."""
    previous, number, before = "", 0, {}
    for entry in LedgerEntry.objects.order_by("number").select_related("detector", "by").iterator(chunk_size=BATCH):
        found, body = _entry(entry, number + 1, previous)
        checked.findings += found
        if body.get("kind") == LedgerKind.BEGINNING:
            before = body["notes"].get("before", {})
        for claim in body.get("claims", ()):
            row = said.setdefault(claim["row"], {})
            row.update({name: (value, entry.number) for name, value in claim["values"].items()})
        previous, number = entry.digest, entry.number
        checked.entries += 1
    checked.head = previous
    head = LedgerHead.objects.first()
    if (head.number, head.digest) != (number, previous) if head else checked.entries:
        last = f"entry {head.number} with {head.digest[:12]}" if head else "nothing"
        checked.findings.append(
            Finding(None, "the newest entry", f"is {number} with {previous[:12]}, the ledger ended with {last}")
        )
    return before


def _entry(entry: LedgerEntry, number: int, previous: str) -> tuple[list[Finding], dict[str, Any]]:
    place = f"entry {entry.number}"
    found = []
    if entry.number != number:
        found.append(Finding(None, place, f"follows entry {number - 1}: entries between them are missing"))
    if entry.previous != previous:
        found.append(Finding(None, place, "is not chained to the entry before it"))
    if entry.digest != chained(entry.previous, entry.body):
        found.append(Finding(None, place, "was edited: its digest is not that of its body"))
    try:
        body: dict[str, Any] = json.loads(entry.body)
    except ValueError:
        return [*found, Finding(None, place, "was edited: its body is no JSON")], {}
    beside = {
        "number": entry.number,
        "at": plain(entry.at),
        "kind": entry.kind,
        "subject": entry.subject,
        "detector": entry.detector.name if entry.detector else None,
        "by": entry.by.username if entry.by else None,
    }
    edited = sorted(name for name, value in beside.items() if body.get(name) != value)
    found += [Finding(None, place, f"was edited: its column {name} is not what its body says") for name in edited]
    claims = body.get("claims", ())
    if entry.row != (claims[0]["row"] if claims else ""):
        found.append(Finding(None, place, "was edited: its column row is not what its body says"))
    return found, body


def _by_model(said: Said) -> dict[type[models.Model], dict[str, dict[str, tuple[Any, int]]]]:
    found: dict[type[models.Model], dict[str, dict[str, tuple[Any, int]]]] = {}
    for row, values in said.items():
        label, _colon, pk = row.partition(":")
        found.setdefault(apps.get_model(label), {})[pk] = values
    return found


def _rows(model: type[models.Model], claimed: dict[str, dict[str, tuple[Any, int]]]) -> Iterator[Finding]:
    names = sorted({name for values in claimed.values() for name in values})
    for pks in _batches(list(claimed)):
        held = {str(row["pk"]): row for row in model._base_manager.filter(pk__in=pks).values("pk", *names)}
        for pk in pks:
            values = claimed[pk]
            if pk not in held:
                number = max(number for _value, number in values.values())
                yield Finding(number, row_name(model, pk), "is gone")
                continue
            for name, (value, number) in values.items():
                if (now := plain(held[pk][name])) != value:
                    yield Finding(
                        number, row_name(model, pk), f"{name} is {_shown(now)}, the ledger says {_shown(value)}"
                    )


def _unrecorded(said: Said, before: dict[str, int]) -> Iterator[Finding]:
    for model in RECORDED:
        label = model._meta.label_lower
        for pk in model._base_manager.filter(pk__gt=before.get(label, 0)).order_by("pk").values_list("pk", flat=True):
            if row_name(model, pk) not in said:
                yield Finding(None, row_name(model, pk), "is not in the ledger: it came in by another door")


def _files(checked: Checked, said: Said) -> None:
    """Check each file that a row names, once."""
    wanted: dict[str, tuple[str, str, int]] = {}
    for row, values in said.items():
        for name, (path, number) in values.items():
            beside = values.get(f"{name.removesuffix('path')}digest")
            if name.endswith("path") and path and beside:
                wanted.setdefault(path, (row, beside[0], number))
    for path, (row, digest, number) in wanted.items():
        checked.files += 1
        if told := _damage(path, digest_now(path, digest)):
            checked.findings.append(Finding(number, path, f"{told}; {row} speaks of it"))


def _damage(path: str, digest: str) -> str:
    found = hashlib.sha256()
    try:
        with storage.open_input(path) as file:
            while chunk := file.read(CHUNK):
                found.update(chunk)
    except FileNotFoundError:
        return "is gone"
    except OSError as error:
        return f"cannot be read: {error}"
    return (
        ""
        if found.hexdigest() == digest
        else f"has changed: its SHA-256 is {found.hexdigest()[:12]}, not {digest[:12]}"
    )


def _shown(value: Any) -> str:
    return f"sha256 {value['sha256'][:12]}" if isinstance(value, dict) and set(value) == {"sha256"} else repr(value)


def _batches(values: list[str]) -> Iterable[list[str]]:
    return (values[start : start + BATCH] for start in range(0, len(values), BATCH))
