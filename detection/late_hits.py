"""Rule hits that came when their session was stored: which session they speak about. Pure; the caller reads files.

A flow number repeats between runs of a sensor, so a hit also says when its session may have begun: not before its flow,
and hardly after the hit itself.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from detection.sources import suricata
from detection.sources.values import BadRecordError, optional_micros, parse_line

_SECOND = 1_000_000
BEFORE = 3600 * _SECOND  # a session may be that much older than a hit that does not tell when its flow began,
BEFORE_MOST = 86_400 * _SECOND  # and this much older than any
SLACK = _SECOND  # clocks of one sensor's threads
AFTER = 3600 * _SECOND  # a session is written when it or its flow is over, at worst by a timeout; its hit at once


@dataclass(frozen=True, slots=True)
class LateHit:
    """One rule's word on one transaction or flow; the same word said again is counted in `times`."""

    number: int  # of its first line among those without session, from 0
    times: int
    flow_id: int
    tx_id: int | None
    app_proto: str | None
    at: int  # microseconds since 1970 UTC, as all times here
    earliest: int  # when its session may have begun
    latest: int
    value: Mapping[str, Any]  # HIT_FIELDS


@dataclass(frozen=True, slots=True)
class Match:
    """A session that a hit speaks about, or may speak about."""

    hit: LateHit
    segment: int
    row: int
    start: int
    app_proto: str | None


def read_hits(lines: Iterable[bytes], first: int = 0) -> list[LateHit]:
    """Return the hits of alert lines, in their order; a line without a time cannot be placed and tells nothing."""
    found: dict[tuple[Any, ...], LateHit] = {}
    for number, line in enumerate(lines, first):
        hit = _hit_in(number, line)
        if hit is None:
            continue
        key = (hit.flow_id, hit.tx_id, hit.app_proto, mark_of(hit.value))
        known = found.get(key)
        if known is None:
            found[key] = hit
        elif hit.earliest <= known.latest and known.earliest <= hit.latest:
            found[key] = _merged(known, hit)
        else:  # another run of the sensor
            found[*key, number] = hit
    return list(found.values())


def _hit_in(number: int, line: bytes) -> LateHit | None:
    try:
        record = parse_line(line)
        hit = suricata.hit_in(record, line)
    except BadRecordError:
        return None
    at = optional_micros(record.get("timestamp"))
    if at is None:
        return None
    flow = record.get("flow")
    began = optional_micros(flow.get("start")) if isinstance(flow, dict) else None
    earliest = at - BEFORE if began is None else max(began - SLACK, at - BEFORE_MOST)
    return LateHit(number, 1, hit.flow_id, hit.tx_id, hit.app_proto, at, earliest, at + AFTER, hit.value)


def _merged(one: LateHit, other: LateHit) -> LateHit:
    return LateHit(
        one.number,
        one.times + other.times,
        one.flow_id,
        one.tx_id,
        one.app_proto,
        min(one.at, other.at),
        min(one.earliest, other.earliest),
        max(one.latest, other.latest),
        one.value,
    )


def mark_of(value: Mapping[str, Any]) -> str:
    """Return what makes a hit the same hit: said twice about one session it counts once."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


class Candidates:
    """Hits that look for their sessions, segment by segment."""

    def __init__(self, hits: Iterable[LateHit]) -> None:
        self.hits = list(hits)
        self._of_tx: dict[tuple[int, int], list[LateHit]] = defaultdict(list)
        self._of_flow: dict[int, list[LateHit]] = defaultdict(list)
        for hit in self.hits:
            if hit.tx_id is None:
                self._of_flow[hit.flow_id].append(hit)
            else:
                self._of_tx[hit.flow_id, hit.tx_id].append(hit)
        self._flows = np.unique(np.array([hit.flow_id for hit in self.hits], np.int64))
        self._earliest = np.array([hit.earliest for hit in self.hits], np.int64)
        self._latest = np.array([hit.latest for hit in self.hits], np.int64)

    @property
    def span(self) -> tuple[int, int]:
        """When the sessions may have begun, first and last; there must be hits."""
        return int(self._earliest.min()), int(self._latest.max())

    def overlap(self, first: int, last: int) -> bool:
        """Whether a hit's session may lie in this span."""
        return bool(np.any((self._earliest <= last) & (self._latest >= first)))

    def find(
        self,
        segment: int,
        start: NDArray[np.int64],
        flow_id: NDArray[np.int64],
        tx_id: Sequence[int | None],
        app_proto: Sequence[str | None],
    ) -> Iterator[Match]:
        """Yield the sessions of a segment that hits may speak about."""
        for row in np.flatnonzero(np.isin(flow_id, self._flows)).tolist():
            flow, tx, began = int(flow_id[row]), tx_id[row], int(start[row])
            of_tx = () if tx is None else self._of_tx.get((flow, tx), ())
            for hit in (*of_tx, *self._of_flow.get(flow, ())):
                if hit.earliest <= began <= hit.latest:
                    yield Match(hit, segment, row, began, app_proto[row])


def choose(matches: Iterable[Match]) -> list[Match]:
    """Return which of the matches count: of a transaction the one session, of a flow all."""
    of_hit: dict[int, list[Match]] = defaultdict(list)
    for match in matches:
        of_hit[id(match.hit)].append(match)
    return [chosen for found in of_hit.values() for chosen in _chosen(found)]


def _chosen(found: list[Match]) -> list[Match]:
    hit = found[0].hit
    if hit.tx_id is None:
        return found
    # after an upgrade (h2c) both protocols count from 0: the protocol of the hit chooses, else both
    same = [match for match in found if match.app_proto == hit.app_proto] or found
    nearest: dict[str | None, Match] = {}
    for match in sorted(same, key=lambda match: (abs(match.start - hit.at), match.segment, match.row)):
        nearest.setdefault(match.app_proto, match)
    return list(nearest.values())
