"""A file that grows: followed from name to name, through renaming, copying with truncation, and times without any file.

Which file a position belongs to is told by the digest of its first bytes: numbers of inodes come again, and a copy has
another one. Files that were rotated meanwhile are found beside it (`eve.json.1`, `eve.json-20260301`) and read in the
order of their last change. Packed ones are ignored.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from traffic.services.streams import Batch, Position, StreamPolicy

log = structlog.get_logger(__name__)
_HEAD_BYTES = 4096
_ROTATED = re.compile(r"[.-]\d[\d.:T_-]*")


@dataclass(slots=True)
class _Open:
    """A file, and how much of it was read."""

    descriptor: int
    offset: int
    head: str = ""
    head_bytes: int = 0

    def position(self) -> Position:
        told = os.fstat(self.descriptor)
        return {
            "device": told.st_dev,
            "inode": told.st_ino,
            "offset": self.offset,
            "head": self.head,
            "head_bytes": self.head_bytes,
            "changed": told.st_mtime_ns,
        }

    def advance(self, count: int) -> None:
        self.offset += count
        if self.head_bytes < _HEAD_BYTES:
            self.head_bytes = min(self.offset, _HEAD_BYTES)
            self.head = _head(self.descriptor, self.head_bytes)

    def is_same(self) -> bool:
        """Return whether this is still what was read: a file may be emptied, and written anew, at any time."""
        size = os.fstat(self.descriptor).st_size
        return size >= self.offset and _head(self.descriptor, self.head_bytes) == self.head


class FollowedFile:
    """See the module."""

    unit = "bytes"

    def __init__(
        self, path: Path, consumer: str, policy: StreamPolicy, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = Path(os.path.abspath(path))
        self.name = f"file {self.path}, consumer {consumer}"
        self._policy = policy
        self._clock = clock
        self._file: _Open | None = None
        self._quiet_since: float | None = None
        self._handed: Position | None = None

    def beginning(self) -> Position | None:
        """The file of that name, wherever it is when somebody comes to read it; none that was rotated earlier."""
        changed = _changed(self.path) - 1 if self.path.exists() else time.time_ns()
        return {"device": 0, "inode": 0, "offset": 0, "head": "none", "head_bytes": 0, "changed": changed}

    def settle(self, position: Position) -> list[str]:
        return []

    def take(self, after: Position | None) -> Batch | None:
        if after != self._handed:  # the first time, or what we handed over could not be kept
            self.close()
            self._handed = after
        # a file of which nothing was read cannot be told from its successor: come to it again from the one before
        if self._file is not None and not self._file.offset and after and (before := self._find_same(after)):
            self.close()
            self._file = before
        if self._file is None:
            self._file = self._find(after)
        if self._file is None:
            time.sleep(self._policy.poll_seconds)
            return None
        return self._read(self._file) or self._at_end(self._file)

    def is_waiting(self) -> bool:
        return self._file is not None and bool(self._later(self._file))

    def lag(self) -> int:
        if self._file is None:
            return _size(self.path)
        waiting = max(os.fstat(self._file.descriptor).st_size - self._file.offset, 0)
        return waiting + sum(map(_size, self._later(self._file)))

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file.descriptor)
            self._file = None

    # --- reading

    def _read(self, file: _Open) -> Batch | None:
        """Return whole lines; a line beyond all measure in pieces."""
        most = self._policy.batch_bytes
        data = os.pread(file.descriptor, most, file.offset)
        while len(data) == most and b"\n" not in data and most <= self._policy.line_bytes:
            most *= 4
            data = os.pread(file.descriptor, most, file.offset)
        end = data.rfind(b"\n") + 1 or (len(data) if len(data) > self._policy.line_bytes else 0)
        if not end:
            return None
        return self._batch(file, data[:end], more=len(data) == most)

    def _batch(self, file: _Open, data: bytes, *, more: bool) -> Batch | None:
        if not file.is_same():  # emptied while we read: what we saw may be a mixture
            return None
        file.advance(len(data))
        self._quiet_since = None
        self._handed = file.position()
        return Batch(data.removesuffix(b"\n").split(b"\n"), self._handed, more)

    def _at_end(self, file: _Open) -> Batch | None:
        if not file.is_same():
            position = file.position()
            self.close()
            self._file = self._find(position)
            return None
        later = self._later(file)
        if not later:
            self._quiet_since = None
        elif self._was_quiet(file):
            return self._leave(file, later[0])
        time.sleep(self._policy.poll_seconds)
        return None

    def _was_quiet(self, file: _Open) -> bool:
        """Return whether a file that has a successor was left alone for long enough."""
        if self._quiet_since is None:
            self._quiet_since = self._clock()
        quiet = max(self._clock() - self._quiet_since, time.time() - os.fstat(file.descriptor).st_mtime)
        return quiet >= self._policy.rotated_seconds

    def _leave(self, file: _Open, following: Path) -> Batch | None:
        """Go to the next file; a last line without end is handed over as it is."""
        size = os.fstat(file.descriptor).st_size - file.offset
        if size > 0 and (rest := os.pread(file.descriptor, size, file.offset)):
            return self._batch(file, rest, more=True)
        self.close()
        self._quiet_since = None
        self._file = _open(following)
        log.info("stream.rotated", path=str(following))
        return self._read(self._file) if self._file is not None else None

    # --- finding

    def _find(self, after: Position | None) -> _Open | None:
        """Open the file a position belongs to; where there is none, the oldest that came later."""
        if after is None:
            return _open(self.path)
        if (same := self._find_same(after)) is not None:
            return same
        later = [path for path in self._rotated() if _changed(path) > after["changed"]]
        found = next((file for path in (*later, self.path) if (file := _open(path)) is not None), None)
        if found is not None and after["offset"]:
            log.warning("stream.lost_track", path=str(self.path), offset=after["offset"])
        return found

    def _find_same(self, after: Position) -> _Open | None:
        for path in (self.path, *reversed(self._rotated())):  # a copy may stand beside a file that is not emptied yet
            file = _open(path, after)
            if file is not None and file.is_same():
                return file
            if file is not None:
                os.close(file.descriptor)
        return None

    def _later(self, file: _Open) -> list[Path]:
        """Return the files that came after this one, oldest first."""
        here = os.fstat(file.descriptor)
        if _is(self.path, here):
            return []
        later = [
            path
            for path in self._rotated()
            if _changed(path) > here.st_mtime_ns and not _is(path, here) and not _begins_like(path, file)
        ]
        return [*later, *([self.path] if self.path.exists() else [])]

    def _rotated(self) -> list[Path]:
        """Return earlier files of this name that still lie beside it unpacked, oldest first."""
        length = len(self.path.name)
        try:
            beside = list(self.path.parent.iterdir())
        except FileNotFoundError:
            return []
        named = [path for path in beside if path.name.startswith(self.path.name)]
        rotated = [path for path in named if _ROTATED.fullmatch(path.name[length:]) and path.is_file()]
        return sorted(rotated, key=lambda path: (_changed(path), path.name))


def _open(path: Path, at: Position | None = None) -> _Open | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    return _Open(descriptor, at["offset"], at["head"], at["head_bytes"]) if at else _Open(descriptor, 0)


def _head(descriptor: int, count: int) -> str:
    return hashlib.sha256(os.pread(descriptor, count, 0)).hexdigest() if count else ""


def _begins_like(path: Path, file: _Open) -> bool:
    other = _open(path)
    if other is None or not file.head_bytes:
        return False
    try:
        return _head(other.descriptor, file.head_bytes) == file.head
    finally:
        os.close(other.descriptor)


def _is(path: Path, told: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), told)
    except FileNotFoundError:
        return False


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
