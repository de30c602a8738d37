"""Reads a log that never ends, in windows that somebody else cuts: a stream's spool.

The windows are those of `Reader`: the sessions of one are joined with what it, the one before and the one after hold.
A window is handed out when the next one was read, so three windows in a row say everything about the one in the middle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import Any

from detection.sources.reader import Chunk, Counts, ReaderPolicy, blocks_of, temporary_lines
from detection.sources.suricata_reader import Reader


@dataclass(slots=True)
class JoinedWindow:
    """The sessions of one window, what was counted in it, and the hits of the window before that found no session."""

    digest: str  # whatever names the window, once for all time
    counts: Counts
    rejected_lines: SpooledTemporaryFile[bytes]
    orphan_lines: SpooledTemporaryFile[bytes]
    chunks: list[Chunk] = field(default_factory=list)
    rules_seen: dict[int, dict[str, Any]] = field(default_factory=dict)
    is_inspected: bool = False
    has_rules: bool = True
    refused: None = None  # a stream is never refused whole

    @property
    def is_empty(self) -> bool:
        return not (self.chunks or self.counts.lines or self.counts.rejected or self.counts.orphan_hits)

    @property
    def quarantine(self) -> Iterator[bytes]:
        return blocks_of(self.rejected_lines)

    @property
    def orphans(self) -> Iterator[bytes]:
        return blocks_of(self.orphan_lines)

    def close(self) -> None:
        self.rejected_lines.close()
        self.orphan_lines.close()


class LiveReader(Reader):
    """Call `read` with one window after the other.

    Where windows came before the first one (`resumes`), its hits are no orphans: their sessions may have lain in one
    that was stored and forgotten, and whoever read it has told what found none."""

    def __init__(
        self,
        rules_seen: Mapping[int, Mapping[str, Any]],
        *,
        policy: ReaderPolicy | None = None,
        resumes: bool = False,
    ) -> None:
        super().__init__(BytesIO(), policy=policy)
        super().close()
        self.rules_seen = {sid: dict(rule) for sid, rule in rules_seen.items()}
        self._last: JoinedWindow | None = None
        self._resumes = resumes

    def read(
        self, digest: str, blocks: Iterable[list[bytes]], problem: Callable[[], str | None] = lambda: None
    ) -> JoinedWindow | None:
        """Read a window; return the one before it, joined. `problem` is asked after the last block."""
        window = JoinedWindow(digest, Counts(), temporary_lines(), temporary_lines())
        self.counts, self._rejected, self._orphans = window.counts, window.rejected_lines, temporary_lines()
        number = 1
        for lines in blocks:
            self._read_block(number, lines)
            number += len(lines)
        if why := problem():
            self._reject(None, why, b"")
        chunks = list(self._close_window())
        joined, self._last = self._last, window
        if joined is None:
            self._orphans.close()
            for hit in self._waiting.hits:
                hit.is_joined = hit.is_joined or self._resumes
            return None
        joined.orphan_lines.close()
        joined.orphan_lines = self._orphans
        joined.counts.orphan_hits, window.counts.orphan_hits = window.counts.orphan_hits, 0
        joined.chunks = chunks
        joined.rules_seen, joined.is_inspected = dict(self.rules_seen), self.is_inspected
        return joined

    def _read_block(self, first: int, lines: list[bytes]) -> None:
        most = self.policy.max_line
        if any(len(line) > most for line in lines):
            for number, line in enumerate(lines, first):
                if len(line) > most:
                    self.counts.lines += 1
                    self._reject(number, f"line longer than {most} bytes", line[:most])
            lines = [b"" if len(line) > most else line for line in lines]
        if lines:
            self._read(first, lines)

    def close(self) -> None:
        if self._last is not None:
            self._last.close()
