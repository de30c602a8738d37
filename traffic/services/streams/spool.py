"""The spool: what a stream gave, on this machine's disk in order, before the source may forget it. A file per window.

A file is frames: a line of JSON (bytes, crc, lines, at, position) and that many bytes of lines. A frame is there whole
or not at all: what a killed process left half written is cut off, and its source gives it again. The position is
written with the lines, so neither can be ahead of the other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import IO, Any, BinaryIO

import orjson
import structlog

from traffic.services.streams import Position

log = structlog.get_logger(__name__)
_HEADER_BYTES = 1 << 22  # 5,000 ids are 100 kB
_TOLD = {"bytes", "crc", "lines", "at", "position"}


class SpoolInUseError(Exception):
    """Another process of this machine holds the spool."""


class Window:
    """A file of the spool."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = int(path.stem)
        self.problem: str | None = None  # known when `blocks` came to its end

    def frames(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Yield headers and data up to the first frame that is not whole."""
        with self.path.open("rb") as file:
            while (frame := _read_frame(file)) is not None:
                yield frame
            if file.read(1):
                self.problem = "a file of the spool is damaged"

    def headers(self) -> Iterator[dict[str, Any]]:
        """Yield what is said about the lines, without reading them."""
        with self.path.open("rb") as file:
            while (header := _read_header(file)) is not None:
                yield header
                file.seek(header["bytes"], os.SEEK_CUR)

    def blocks(self) -> Iterator[list[bytes]]:
        """Yield the lines in order, without those that another consumer answers for."""
        lost = {name for header in self.headers() for name in header.get("lost", ())}
        for header, data in self.frames():
            lines = data.split(b"\n")
            lines.pop()
            if lost and (ids := header["position"].get("ids")) and lines:
                lines = [line for name, line in zip(ids, lines, strict=True) if name not in lost]
            if lines:
                yield lines


class Spool:
    """A context manager: while it is open, nobody else of this machine writes into that folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.position: Position | None = None
        self.lines = self.bytes = 0  # of the window that is open
        self.began_at: float | None = None
        self.first_line = self.last_line = b""
        self.closed_at = time.time()
        self.empty_windows = 2  # closed one after the other, up to now
        self._closed: list[Window] = []
        self._file: FileIO | None = None
        self._number = 1
        self._lock: IO[bytes] | None = None
        self.token = ""

    def __enter__(self) -> Spool:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise SpoolInUseError(f"{self.folder}: another process holds this spool") from None
        self.token = self._read_token()
        self._recover()
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()
        if self._lock is not None:
            self._lock.close()

    @property
    def closed(self) -> list[Window]:
        """Closed windows that are still here, oldest first."""
        return list(self._closed)

    @property
    def resumes(self) -> bool:
        """Whether windows came before those that are here."""
        return bool(self._closed) and self._closed[0].number > 1

    @property
    def size(self) -> int:
        return self.bytes + sum(window.path.stat().st_size for window in self._closed)

    def digest(self, window: Window) -> str:
        """Return what names a window for all time: equal lines may come again, and are no duplicate then."""
        return hashlib.sha256(f"{self.token}:{window.number}".encode()).hexdigest()

    def append(self, lines: Sequence[bytes], position: Position, lost: Sequence[str] = ()) -> None:
        """Write lines to the disk, whole or not at all. They are safe when this returns."""
        data = b"".join(line + b"\n" for line in lines)
        at = time.time()
        header: dict[str, Any] = {"bytes": len(data), "crc": zlib.crc32(data), "lines": len(lines), "at": at}
        header |= {"position": position, **({"lost": list(lost)} if lost else {})}
        file = self._file or self._open()
        end = file.tell()
        try:
            _write(file, orjson.dumps(header, option=orjson.OPT_APPEND_NEWLINE) + data)
            os.fsync(file.fileno())
        except OSError:
            file.close()
            self._file = None
            os.truncate(self._path("open"), end)
            raise
        self._count(header, data)

    def lose(self, ids: Sequence[str]) -> None:
        """Remember that lines of the last batch are another consumer's."""
        assert self.position is not None
        self.append([], self.position, ids)

    def close_window(self) -> None:
        """Close the open window, or an empty one, which says that nothing came for that long."""
        if self._file is None and not self._path("open").exists():
            if self.position is None:
                return
            self.append([], self.position)
        if self._file is not None:
            self._file.close()
            self._file = None
        window = Window(self._path("window"))
        self._path("open").rename(window.path)
        _sync_folder(self.folder)
        self._closed.append(window)
        self.empty_windows = 0 if self.lines else self.empty_windows + 1
        self.closed_at = time.time()
        self._number += 1
        self.lines = self.bytes = 0
        self.began_at, self.first_line, self.last_line = None, b"", b""

    def drop_before(self, number: int) -> None:
        """Delete windows that nobody needs any more; damaged ones are kept under another name."""
        for window in [one for one in self._closed if one.number < number]:
            if window.problem:
                window.path.rename(window.path.with_suffix(".damaged"))
            else:
                window.path.unlink()
            self._closed.remove(window)

    def _path(self, suffix: str) -> Path:
        return self.folder / f"{self._number:010d}.{suffix}"

    def _open(self) -> FileIO:
        path = self._path("open")
        is_new = not path.exists()
        self._file = path.open("ab", buffering=0)
        if is_new:
            _sync_folder(self.folder)
        return self._file

    def _count(self, header: dict[str, Any], data: bytes) -> None:
        self.position = header["position"]
        self.bytes += len(data)
        self.lines += header["lines"]
        if header["lines"]:
            self.began_at = self.began_at or header["at"]
            self.first_line = self.first_line or data[: data.index(b"\n")]
            self.last_line = data[data.rfind(b"\n", 0, -1) + 1 : -1]

    def _read_token(self) -> str:
        path = self.folder / "token"
        if not path.exists():
            part = path.with_suffix(".part")
            with part.open("w") as file:
                file.write(uuid.uuid4().hex)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
            _sync_folder(self.folder)
        return path.read_text()

    def _recover(self) -> None:
        self._closed = [Window(path) for path in sorted(self.folder.glob("*.window"))]
        for window in self._closed:
            lines = 0
            for header in window.headers():
                self.position = header["position"]
                lines += header["lines"]
            self.empty_windows = 0 if lines else self.empty_windows + 1
            self.closed_at = window.path.stat().st_mtime
        opened = sorted(self.folder.glob("*.open"))
        used = [int(path.stem) for path in (*self.folder.glob("*.window"), *self.folder.glob("*.damaged"))]
        self._number = int(opened[0].stem) if opened else max(used, default=0) + 1
        if opened:
            self._recover_open(opened[0])

    def _recover_open(self, path: Path) -> None:
        whole = 0
        with path.open("rb") as file:
            while (frame := _read_frame(file)) is not None:
                whole = file.tell()
                self._count(*frame)
        if whole < (size := path.stat().st_size):
            log.warning("spool.torn", path=str(path), bytes=size - whole)
            os.truncate(path, whole)
        if not whole:
            path.unlink()


def _read_frame(file: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    """Return the next frame; None, with the file where it was, when there is no whole one."""
    start = file.tell()
    header = _read_header(file)
    if header is not None:
        data = file.read(header["bytes"])
        if len(data) == header["bytes"] and zlib.crc32(data) == header["crc"]:
            return header, data
    file.seek(start)
    return None


def _read_header(file: BinaryIO) -> dict[str, Any] | None:
    line = file.readline(_HEADER_BYTES)
    if not line.endswith(b"\n"):
        return None
    try:
        header = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return header if isinstance(header, dict) and header.keys() >= _TOLD else None


def _write(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
