"""From EVE lines to sessions that can be judged: http at once, TLS when its flow has ended. Memory is bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from detection.sources.values import BadRecordError, parse_line

OPEN_FLOWS = 50_000  # TLS handshakes that wait for the end of their flow
WANTED = (b'"http"', b'"tls"', b'"alert"', b'"flow"')
LONGEST = 1 << 20  # bytes of a line


@dataclass(slots=True)
class Counts:
    """What was read."""

    lines: int = 0
    bad: int = 0
    sessions: int = 0
    alerts: int = 0


@dataclass(slots=True)
class Session:
    """A record to judge, with its flow's record where it has come."""

    record: dict[str, Any]
    flow: dict[str, Any] | None = None


@dataclass
class SessionReader:
    """Call `read` with one line after the other. `protocols`: what bundles in force read."""

    protocols: frozenset[str]
    counts: Counts = field(default_factory=Counts)
    _open: OrderedDict[int, dict[str, Any]] = field(default_factory=OrderedDict)

    def read(self, line: bytes) -> Iterator[Session | dict[str, Any]]:
        """Yield sessions ready to be judged, and records of rule hits as they are."""
        self.counts.lines += 1
        if not any(kind in line for kind in WANTED):
            return
        record = self._parsed(line)
        if record is None:
            return
        kind = record.get("event_type")
        if kind == "alert":
            self.counts.alerts += 1
            yield record
        elif kind == "http" and "http" in self.protocols:
            self.counts.sessions += 1
            yield Session(record)
        elif kind == "tls" and "tls" in self.protocols:
            yield from self._hold(record)
        elif kind == "flow" and (held := self._open.pop(_flow_id(record), None)) is not None:
            self.counts.sessions += 1
            yield Session(held, record)

    def rest(self) -> Iterator[Session]:
        """Yield the handshakes whose flow never ended: at the end of a file."""
        while self._open:
            self.counts.sessions += 1
            yield Session(self._open.popitem(last=False)[1])

    def _hold(self, record: dict[str, Any]) -> Iterator[Session]:
        before = self._open.pop(_flow_id(record), None)
        self._open[_flow_id(record)] = record
        if before is not None:
            self.counts.sessions += 1
            yield Session(before)
        if len(self._open) > OPEN_FLOWS:
            self.counts.sessions += 1
            yield Session(self._open.popitem(last=False)[1])

    def _parsed(self, line: bytes) -> dict[str, Any] | None:
        if len(line) <= LONGEST:
            try:
                return parse_line(line)  # as at the vendor: no odd byte hides a session
            except BadRecordError:
                pass
        self.counts.bad += 1
        return None

    # What a restart must not lose

    def state(self) -> list[dict[str, Any]]:
        return list(self._open.values())

    def resume(self, held: list[dict[str, Any]]) -> None:
        self._open = OrderedDict((_flow_id(record), record) for record in held)


def _flow_id(record: dict[str, Any]) -> int:
    found = record.get("flow_id")
    return found if isinstance(found, int) else 0
