"""Bytes of a log, plain or gzip, as blocks of lines: one pass, bounded memory, digest of the bytes as received.

A JSON array of records is read as if each was a line."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import BinaryIO

from detection.sources.arrays import ArrayRecords, is_array

GZIP_MAGIC = b"\x1f\x8b"
_READ_BYTES = 1 << 18  # fits the second-level cache: hashed, split and parsed while it is there
_BOM = b"\xef\xbb\xbf"
_RATIO_FROM = 1 << 20  # a few kB of zeros may shrink a hundredfold and harm nobody


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    """How far a gzip may unfold before it is refused; None: as far as it likes (it is streamed anyway)."""

    ratio: float | None = None
    total: int | None = None


UPLOAD = UnpackLimits(ratio=20, total=1 << 30)
LOCAL_FILE = UnpackLimits()  # an operator's own file may be a day of traffic; reading it needs no memory


class TooMuchUnpackedError(Exception):
    """A gzip unfolds beyond its limits; nothing of it may be kept."""


class LineBlocks:
    """Iterate to get (number of the first line, lines without their newline, cut).

    A line longer than `max_line` (some MiB) comes alone, with `cut` true and only its head. After the end: `digest` of
    the bytes as received, `received`, `unpacked`, and `problem` when a gzip ended too early or was damaged.
    """

    def __init__(
        self, stream: BinaryIO, *, limits: UnpackLimits = LOCAL_FILE, max_line: int = 16 << 20, arrays: bool = True
    ) -> None:
        self._stream = stream
        self._limits = limits
        self._max_line = max_line
        self._arrays = arrays
        self._hash = hashlib.sha256()
        self.received = 0
        self.unpacked = 0
        self.is_gzip = False
        self.problem: str | None = None
        self.stopped = False  # set by the caller: the rest is only hashed
        self._blocks = self._read()
        self._head: list[tuple[int, list[bytes], bool]] = []

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def head(self) -> list[bytes]:
        """Return the first lines, to see what they are; iterating begins with them all the same."""
        if not self._head:
            self._head = list(islice(self._blocks, 1))
        return self._head[0][1] if self._head else []

    def __iter__(self) -> Iterator[tuple[int, list[bytes], bool]]:
        return chain(self._head, self._blocks)

    def _read(self) -> Iterator[tuple[int, list[bytes], bool]]:
        pieces = self._pieces()
        first = next(pieces, b"")
        read = self._read_array if self._arrays and is_array(first) else self._read_lines
        yield from read(chain((first,), pieces))

    def _read_array(self, pieces: Iterator[bytes]) -> Iterator[tuple[int, list[bytes], bool]]:
        """Read the records of a JSON array as if each was a line; they are numbered instead."""
        number, records = 1, ArrayRecords(self._max_line)
        for piece, last in chain(zip(pieces, repeat(False), strict=False), ((b"", True),)):
            for found, cut in records.feed(piece, last=last):
                yield number, found, cut
                number += len(found)

    def _read_lines(self, pieces: Iterator[bytes]) -> Iterator[tuple[int, list[bytes], bool]]:
        number, tail, skipping = 1, b"", False
        for piece in pieces:
            lines = piece.split(b"\n")
            if skipping:  # the rest of a line whose head was handed over
                if len(lines) == 1:
                    continue
                lines[0], skipping = b"", False
            elif tail:
                lines[0] = tail + lines[0]
            tail = lines.pop()
            if lines:
                yield from self._checked(number, lines)
                number += len(lines)
            if len(tail) > self._max_line:
                yield number, [tail[: self._max_line]], True
                tail, skipping = b"", True
        if tail:
            yield from self._checked(number, [tail])

    def _checked(self, number: int, lines: list[bytes]) -> Iterator[tuple[int, list[bytes], bool]]:
        """Hand lines over. Only the first can have grown beyond the limit: the others lie inside one piece."""
        if len(lines[0]) > self._max_line:
            yield number, [lines[0][: self._max_line]], True
            number, lines = number + 1, lines[1:]
        if lines:
            yield number, lines, False

    def _pieces(self) -> Iterator[bytes]:
        first = self._receive()
        self.is_gzip = first.startswith(GZIP_MAGIC)
        pieces = self._unzipped(first) if self.is_gzip else self._plain(first)
        at_start = True
        for piece in pieces:
            if self.stopped:
                continue
            self.unpacked += len(piece)
            self._check_limits()
            if at_start:
                piece = piece.removeprefix(_BOM)
                at_start = False
            yield piece

    def _receive(self) -> bytes:
        data = self._stream.read(_READ_BYTES)
        self._hash.update(data)
        self.received += len(data)
        return data

    def _plain(self, data: bytes) -> Iterator[bytes]:
        while data:
            yield data
            data = self._receive()

    def _unzipped(self, data: bytes) -> Iterator[bytes]:
        """Unfold all members of a gzip, never more than one piece at a time."""
        member = zlib.decompressobj(wbits=31)
        began = False
        while data:
            if self.problem or self.stopped:
                data = self._receive()
                continue
            try:
                piece = member.decompress(data, 4 * _READ_BYTES)
            except zlib.error as error:
                self.problem = f"gzip data is damaged ({_plain_words(error)})"
                continue
            began = True
            if piece:
                yield piece
            if member.eof:
                data = member.unused_data.lstrip(b"\0")  # tapes and some tools pad with zeros
                member, began = zlib.decompressobj(wbits=31), False
                if data and not data.startswith(GZIP_MAGIC[: len(data)]):
                    self.problem = "bytes after the end of the gzip data"
            else:
                data = member.unconsumed_tail
            data = data or self._receive()
        if began and not self.problem:
            self.problem = "gzip data ends too early"

    def _check_limits(self) -> None:
        limits = self._limits
        if limits.total is not None and self.unpacked > limits.total:
            raise TooMuchUnpackedError(f"unpacks to more than {limits.total} bytes")
        if limits.ratio is not None and self.unpacked > max(_RATIO_FROM, limits.ratio * self.received):
            raise TooMuchUnpackedError(f"unpacks to more than {limits.ratio:g} times its size")


def _plain_words(error: zlib.error) -> str:
    return str(error).rpartition(": ")[2]
