"""A JSON array of records, pretty-printed or not, as lines: some tools keep alerts so. One pass, bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

# the records are objects; a text that begins with a bracketed word is no array
_ARRAY = re.compile(rb"[\0 \t\r\n]*\[[\0 \t\r\n]*(?:\{|\]|$)")
# a whole text, one that a line break ends (no JSON, so it is torn), or a brace
_TOKEN = re.compile(rb'"(?:[^"\\\n]|\\[^\n])*+(["\n])?|[{}]')
# inside a record this begins the next one: the record before it is torn
_BEGIN = re.compile(rb'\{\s*"timestamp"\s*:')
_BEGIN_BYTES = 64  # as far as that needs to be seen
_BETWEEN = b"\0 \t\r\n,[]"


def is_array(start: bytes) -> bool:
    """Return whether a file that begins so is an array of records."""
    return _ARRAY.match(start) is not None


class ArrayRecords:
    """Give pieces of an array; get (records, cut), each record on one line.

    What lies between them is a record too, a bad one: nothing is lost. A record longer than `max_line` comes alone,
    with `cut` true and only its head."""

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._held = b""
        self._seen = 0  # bytes of what is held that were looked at
        self._depth = 0
        self._skipping = False

    def feed(self, piece: bytes, *, last: bool = False) -> Iterator[tuple[list[bytes], bool]]:
        """Yield what is complete; with `last` the rest too, torn or not."""
        self._held += piece
        if self._skipping:
            self._skip()
        if not self._skipping and (records := list(self._complete(last=last))):
            yield records, False
        if len(self._held) > self._max_line:
            if not self._skipping:
                yield [self._held[: self._max_line]], True
            self._skipping = True
            self._skip()
        if last and not self._skipping and (rest := _one_line(self._held)):
            yield [rest], False

    def _skip(self) -> None:
        """Look for the next record; the rest of one that was cut is not kept."""
        found = _BEGIN.search(self._held, 1 if self._depth else 0)
        self._held = self._held[found.start() :] if found else self._held[-_BEGIN_BYTES:]
        self._seen = self._depth = 0
        self._skipping = found is None

    def _complete(self, *, last: bool) -> Iterator[bytes]:
        held, begin = self._held, 0
        for token in _TOKEN.finditer(held, self._seen):
            at, end = token.span()
            what = held[at]
            if what == _QUOTE and token[1] is None and not last:
                break  # the text goes on in the next piece
            if what == _OPEN:
                if self._depth and not last and len(held) - at < _BEGIN_BYTES:
                    break  # cannot be told yet
                if not self._depth or _BEGIN.match(held, at):
                    if between := _one_line(held[begin:at]):
                        yield between
                    begin, self._depth = at, 0
                self._depth += 1
            elif what == _CLOSE and self._depth:
                self._depth -= 1
                if not self._depth:
                    yield _one_line(held[begin:end])
                    begin = end
            self._seen = end
        self._held, self._seen = held[begin:], max(self._seen - begin, 0)


_QUOTE, _OPEN, _CLOSE = b'"{}'


def _one_line(record: bytes) -> bytes:
    """Return a record without its line breaks and indentation; nothing when it is only what separates records."""
    text = record.strip(_BETWEEN)
    return b" ".join(part.strip(b" \t\r") for part in text.split(b"\n")) if b"\n" in text else text
