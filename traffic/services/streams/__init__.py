"""Streams: logs that never end, out of Redis or out of a file that grows. See decision 35."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Position = dict[str, Any]  # JSON: where in its source a batch ended; only the source reads it


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """How a stream is cut into windows, and when it stops reading. A session is stored after two windows at most."""

    window_seconds: float = 60  # a window is never shorter,
    window_lines: int = 100_000  # nor this, while more lines are waiting,
    window_bytes: int = 128 << 20  # unless it holds more than this by then
    window_bytes_most: int = 512 << 20
    batch_lines: int = 5_000  # from Redis in one go
    batch_bytes: int = 1 << 20  # from a file in one go
    line_bytes: int = 16 << 20  # a longer one is taken apart
    poll_seconds: float = 0.2
    beat_seconds: float = 5
    retry_seconds: float = 5  # when Redis, the database or the store do not answer
    rotated_seconds: float = 5  # a sensor may go on writing into a file that was renamed
    spool_bytes: int = 20 << 30  # more than this is not read ahead
    free_bytes: int = 1 << 30  # on the disks of spool and store

    @property
    def turn_seconds(self) -> float:
        """Who reads a Redis key and is not heard of for that long hands it to the next one."""
        return max(self.window_seconds / 2, 2)


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines without their newline, and where they end."""

    lines: Sequence[bytes]
    position: Position
    more: bool  # whether the source held more at that moment


class OtherReadsError(Exception):
    """Another consumer has its turn."""


class Source(Protocol):
    """Where lines come from. The spool's last position is the only memory that counts."""

    name: str  # once in this house
    unit: str  # of lag

    def beginning(self) -> Position | None:
        """Return what the very first start must remember before it reads anything."""

    def settle(self, position: Position) -> list[str]:
        """A batch lies safely on disk: tell the source. Return the ids in it that are another consumer's."""

    def take(self, after: Position | None) -> Batch | None:
        """Return what follows; None after a moment without anything; OtherReadsError."""

    def is_waiting(self) -> bool:
        """Return whether more is there, although nothing can be taken right now."""

    def lag(self) -> int:
        """Return how much waits unread."""

    def close(self) -> None: ...
