"""What readers of logs have in common: how much they hold and hand on, what they count, what they set aside."""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO

import orjson

from detection.sources.lines import LOCAL_FILE, LineBlocks, UnpackLimits

# reasons that say more of a line than that it is odd
TWICE = "the same line twice"
TOO_LONG = "line longer than "


@dataclass(frozen=True, slots=True)
class ReaderPolicy:
    """How much is held back to join, and how large a chunk grows."""

    join_lines: int = 100_000  # a window is never shorter
    join_seconds: int = 60  # nor this, in the time of the log,
    window_bytes: int = 128 << 20  # unless it holds more than this by then
    window_bytes_most: int = 512 << 20  # longer lines than a sensor writes: shorter windows
    chunk_rows: int = 20_000
    chunk_bytes: int = 64 << 20  # of raw lines
    probe_bytes: int = 64 << 20  # when nothing up to here,
    probe_lines: int = 100_000  # or here is a record, the rest is not looked at
    max_line: int = 16 << 20
    excerpt_bytes: int = 64 << 10  # of a file that is refused whole
    limits: UnpackLimits = LOCAL_FILE
    arrays: bool = True  # a file that begins like a JSON array is one

    def blocks_of(self, stream: BinaryIO) -> LineBlocks:
        return LineBlocks(stream, limits=self.limits, max_line=self.max_line, arrays=self.arrays)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sessions of one protocol as columns of equal length, and the line each came from."""

    protocol: str
    columns: Mapping[str, Sequence[Any]]
    raw: Sequence[bytes]

    def parts(self, policy: ReaderPolicy) -> Iterator[Chunk]:
        """Yield the same sessions as chunks that are no larger than the policy says; one session is never parted."""
        first = 0
        while first < len(self.raw):
            sizes = list(accumulate(map(len, self.raw[first : first + policy.chunk_rows])))
            last = first + max(1, bisect_right(sizes, policy.chunk_bytes))
            columns = {name: values[first:last] for name, values in self.columns.items()}
            yield Chunk(self.protocol, columns, self.raw[first:last])
            first = last


def columns_of(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Return rows of values as columns by name."""
    return dict(zip(names, zip(*rows, strict=True), strict=True))


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line (or, without number, something about the whole file) that could not be used."""

    line: int | None
    reason: str
    data: bytes

    def to_json(self) -> bytes:
        try:
            kept = {"text": self.data.decode("utf-8")}
        except UnicodeDecodeError:
            kept = {"base64": base64.b64encode(self.data).decode("ascii")}
        return orjson.dumps({"line": self.line, "reason": self.reason, **kept}, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def from_json(cls, line: bytes) -> Rejected:
        told = orjson.loads(line)
        data = base64.b64decode(told["base64"]) if "base64" in told else told["text"].encode("utf-8")
        return cls(told["line"], told["reason"], data)


_OTHER_NAMES = 64  # distinct types counted by name
_WORD = re.compile("[a-z0-9_]{1,32}")


@dataclass(slots=True)
class Counts:
    """What a log held. Lines of `other` types are counted, not validated."""

    lines: int = 0
    http: int = 0
    tls: int = 0
    rule_hits: int = 0
    orphan_hits: int = 0
    rejected: int = 0
    other: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def count_other(self, word: str, count: int = 1) -> None:
        """Count records of a type that is not read, by its name; many or odd names are one."""
        if word not in self.other and (len(self.other) >= _OTHER_NAMES or not _WORD.fullmatch(word)):
            word = "unknown"
        self.other[word] += count


class LogReader:
    """Iterate to get chunks of sessions; counts, rejected, orphans, digest, rules_seen, refused tell the rest."""

    has_rules = False  # whether the sensor looks with rules

    def __init__(self, blocks: LineBlocks, policy: ReaderPolicy) -> None:
        self.policy = policy
        self.counts = Counts()
        self.rules_seen: dict[int, dict[str, Any]] = {}
        self.refused: str | None = None
        self._blocks = blocks
        self._rejected = temporary_lines()
        self._orphans = temporary_lines()

    def __iter__(self) -> Iterator[Chunk]:
        raise NotImplementedError

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes as received."""
        return self._blocks.digest

    @property
    def is_inspected(self) -> bool:
        """Whether threat rules spoke."""
        return False

    @property
    def rejected(self) -> Iterator[Rejected]:
        self._rejected.seek(0)
        return map(Rejected.from_json, self._rejected)

    @property
    def quarantine(self) -> Iterator[bytes]:
        """The same rejected lines as JSON lines, in blocks ready to be stored."""
        return blocks_of(self._rejected)

    @property
    def orphans(self) -> Iterator[bytes]:
        """Lines of hits whose session was not in the log, or too far away, in blocks ready to be stored."""
        return blocks_of(self._orphans)

    def close(self) -> None:
        self._rejected.close()
        self._orphans.close()

    def _reject(self, number: int | None, reason: str, data: bytes) -> None:
        self.counts.rejected += 1
        self.counts.reasons[reason] += 1
        self._rejected.write(Rejected(number, reason, data).to_json())


def temporary_lines() -> SpooledTemporaryFile[bytes]:
    """Return a file for lines that wait, in memory while they are few."""
    return SpooledTemporaryFile(max_size=1 << 20)


def blocks_of(file: SpooledTemporaryFile[bytes]) -> Iterator[bytes]:
    """Yield what was written to a temporary file."""
    file.seek(0)
    return iter(lambda: file.read(1 << 20), b"")
