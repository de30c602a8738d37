"""The session a kit is about, with the end of its flow: found in what an operator has, one record or a whole log."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from detection.sources.flow_ends import FlowEnds
from detection.sources.values import BadRecordError, parse_line

LONGEST = 10_000  # lines of one record
PROTOCOLS = ("http", "tls")


def read(source: str, flow_id: int | None = None, tx_id: int | None = None) -> dict[str, Any]:
    """Return one session of a file (- is standard input), a TLS one with the end of its flow where that is there.

    Raises ValueError, which says what to do."""
    if source == "-":
        return _chosen(sys.stdin.buffer, flow_id, tx_id)
    path = Path(source)
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return _chosen(file, flow_id, tx_id)


def _chosen(lines: Iterable[bytes], flow_id: int | None, tx_id: int | None) -> dict[str, Any]:
    sessions: list[dict[str, Any]] = []
    ends = FlowEnds()
    for record in _records(lines, b"" if flow_id is None else str(flow_id).encode()):
        if flow_id is not None and record.get("flow_id") != flow_id:
            continue
        if ends.take(record) or not _is_session(record) or (tx_id is not None and record.get("tx_id") != tx_id):
            continue
        sessions.append(record)
        if len(sessions) > 1:
            more = "--tx-id" if flow_id is not None else "--flow-id and --tx-id"
            raise ValueError(f"more than one session: name the flagged one by {more}, as its verdict record does")
    if not sessions:
        raise ValueError("no http or tls record" + ("" if flow_id is None else f" of flow {flow_id}") + " in it")
    return ends.joined(sessions[0])


def _records(lines: Iterable[bytes], holding: bytes) -> Iterator[dict[str, Any]]:
    """Yield the records of lines that hold some bytes; where the first line is none, all of it as one."""
    for number, line in enumerate(lines):
        if holding not in line:
            continue
        try:
            yield parse_line(line)
        except BadRecordError:
            if not number and line.strip() == b"{":  # a record over several lines
                yield _spread(line, lines)
                return


def _spread(first: bytes, lines: Iterable[bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(first + b"".join(islice(lines, LONGEST)))
    return found


def _is_session(record: dict[str, Any]) -> bool:
    told = record.get("event_type")
    return told in PROTOCOLS or (told is None and any(isinstance(record.get(name), dict) for name in PROTOCOLS))
