"""Show what came from the wire: attackers wrote it, so it is escaped, and what the eye cannot see is made visible."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from itertools import accumulate, pairwise

from django.utils.html import format_html
from django.utils.safestring import SafeString

SHOWN = 4_096  # characters of one field on a page; all of it stands in the raw record
HEX_SHOWN = 1_024  # bytes
_HEX_LINE = 16
# nearly all of the wire is printable ASCII: escaping runs and not letters is many times cheaper
_RUNS = re.compile(r"[\x20-\x7e]+|[^\x20-\x7e]")
_NAMES = (
    "NUL SOH STX ETX EOT ENQ ACK BEL BS TAB LF VT FF CR SO SI "
    "DLE DC1 DC2 DC3 DC4 NAK SYN ETB CAN EM SUB ESC FS GS RS US"
)
_CONTROL = tuple(_NAMES.split())


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch of a text, in characters, and what it added to the raw score."""

    start: int
    end: int
    contribution: float


def visible(text: str | None, *, keep: str = "", limit: int = SHOWN) -> SafeString:
    """Return text as safe HTML; control, format and stray characters stand there as boxes with their names.

    Characters in `keep` (line breaks of a formatted record) stay as they are."""
    text = text or ""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return _html(escape(text))  # nearly all there is
    return marked(text, (), keep=keep, limit=limit)


def marked(text: str, marks: Iterable[Mark], *, keep: str = "", limit: int = SHOWN) -> SafeString:
    """Return text as safe HTML with <mark> around the stretches that spoke for or against a verdict."""
    shown = text[:limit]
    parts = [_stretch(shown[start:end], weight, keep) for start, end, weight in _stretches(len(shown), list(marks))]
    if len(text) > limit:
        more = f"{len(text) - limit:,}"
        parts.append(format_html('<span class="odd">… {} more characters, see the raw record</span>', more))
    return _html("".join(parts))  # every part is escaped below


def filled(pattern: str, places: Mapping[str, object]) -> SafeString:
    """Return a format of HTML with its places filled; what is not HTML already is escaped.

    As format_html does it, which is five calls deep for each of a hundred places of an answer."""
    return _html(pattern.format(**{name: _escaped(value) for name, value in places.items()}))


def _escaped(value: object) -> str:
    return str(value.__html__()) if hasattr(value, "__html__") else escape(str(value))


def _html(text: str) -> SafeString:
    """The one place where text is declared safe: all of it was escaped in this file."""
    return SafeString(text)


def _stretches(length: int, marks: list[Mark]) -> Iterator[tuple[int, int, float]]:
    """Yield (start, end, summed contribution) so that overlapping marks become neighbours; no mark sums to 0."""
    edges = sorted({0, length} | {min(edge, length) for mark in marks for edge in (mark.start, mark.end)})
    for start, end in pairwise(edges):
        yield start, end, sum(mark.contribution for mark in marks if mark.start <= start and end <= mark.end)


def _stretch(text: str, weight: float, keep: str) -> str:
    inner = "".join(_shown(run, keep) for run in _RUNS.findall(text))
    if weight == 0:
        return inner
    side = "toward" if weight > 0 else "away"
    return f'<mark class="{side}" title="{weight:+.2f}">{inner}</mark>'


def _shown(run: str, keep: str) -> str:
    """Return a run of printable ASCII, or one other letter, as HTML."""
    if run[0].isascii() and run[0].isprintable():
        return escape(run)
    return run if run in keep else _letter(run)


def _letter(letter: str) -> str:
    if not is_odd(letter):
        return letter
    code = f"U+{ord(letter):04X}"
    name = unicodedata.name(letter, "")
    return f'<span class="odd" title="{escape(f"{code} {name}".strip())}">{_picture(letter) or code}</span>'


def is_odd(letter: str) -> bool:
    """Say whether a reader would not see this character, or would see others in another order because of it."""
    # C: control, format (overrides, zero width), surrogate, private, unassigned; Zl, Zp: line breaks; Zs: odd spaces
    category = unicodedata.category(letter)
    return category[0] == "C" or category in ("Zl", "Zp") or (category == "Zs" and letter != " ")


def _picture(letter: str) -> str:
    """Return the short name of an ASCII control character; the pictures of Unicode are missing from many fonts."""
    code = ord(letter)
    return _CONTROL[code] if code < len(_CONTROL) else "DEL" if code == 0x7F else ""


def hex_dump(text: str) -> str:
    """Return the bytes of a text the way hex viewers print them: offset, bytes, printable ASCII."""
    data = text_as_sent(text)
    lines = [
        f"{start:06x}  {data[start : start + _HEX_LINE].hex(' '):<47}  {_ascii(data[start : start + _HEX_LINE])}"
        for start in range(0, min(len(data), HEX_SHOWN), _HEX_LINE)
    ]
    if len(data) > HEX_SHOWN:
        lines.append(f"… {len(data) - HEX_SHOWN:,} more bytes")
    return "\n".join(lines)


def text_as_sent(text: str) -> bytes:
    """Return the UTF-8 bytes of a text; lone surrogates do not stop it."""
    return text.encode("utf-8", "surrogatepass")


def _ascii(data: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)


def characters(text: str, limit: int, spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return byte spans of what the model saw as character spans of the whole text.

    The model sees at most `limit` bytes: head, one cut mark, tail. A span over the mark covers what was cut;
    a span that starts or ends inside a character takes the whole character."""
    ends = list(accumulate(len(letter.encode("utf-8", "surrogatepass")) for letter in text))
    total = ends[-1] if ends else 0
    whole = [(_whole(start, total, limit), _whole(end, total, limit)) for start, end in spans]
    return [
        (bisect_right(ends, start), min(bisect_right(ends, end - 1) + 1, len(text)))
        for start, end in whole
        if start < end and start < total
    ]


def _whole(offset: int, total: int, limit: int) -> int:
    """Return where a byte offset of the cut text lies in the whole text."""
    head = limit // 2
    return offset if total <= limit or offset <= head else offset + total - limit
