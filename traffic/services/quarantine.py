"""What could not be read: listed with reasons, and given back as received, to be mended and taken in again."""

from __future__ import annotations

import gzip
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from detection.sources.reader import Rejected
from traffic import storage
from traffic.models import Intake

SHOWN_CHARACTERS = 2_000
_CONTROL_PICTURES = 0x2400  # NUL is shown as U+2400, and so on
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class ShownRecord:
    """A rejected line as people may look at it: plain text, nothing unseen in it. Templates escape it."""

    number: int  # in the quarantine, from 1
    line: int | None  # in the log
    reason: str
    text: str
    size: int
    is_cut: bool


def records(intake: Intake, *, after: int = 0, limit: int = 100) -> list[ShownRecord]:
    """Return some rejected lines, beginning behind number `after`."""
    chosen = islice(enumerate(rejected(intake), start=1), after, after + limit)
    return [_shown(number, one) for number, one in chosen]


def received(intake: Intake) -> Iterator[bytes]:
    """Yield the rejected lines as received: a file to mend and to take in again."""
    for one in rejected(intake):
        if one.data:
            yield one.data + b"\n"


def rejected(intake: Intake) -> Iterator[Rejected]:
    """Yield what was set aside, in the order of the log."""
    if not intake.quarantine_path:
        return
    with storage.open_input(intake.quarantine_path) as file, gzip.GzipFile(fileobj=file) as lines:
        yield from map(Rejected.from_json, lines)


def _shown(number: int, one: Rejected) -> ShownRecord:
    head = one.data[: 4 * SHOWN_CHARACTERS].decode("utf-8", "backslashreplace")
    text = visible(head[:SHOWN_CHARACTERS])
    return ShownRecord(number, one.line, one.reason, text, len(one.data), len(head) > SHOWN_CHARACTERS)


def visible(text: str) -> str:
    """Return text with control characters as pictures, and turned or invisible ones as their code."""
    return "".join(character if character.isprintable() else _picture(character) for character in text)


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(_CONTROL_PICTURES + code)
    if code == 0x7F:
        return "\u2421"
    return f"\\u{{{code:x}}}" if unicodedata.category(character) in _UNSEEN else character
