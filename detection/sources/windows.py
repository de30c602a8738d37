"""Stretches of an EVE log, and how the sessions of one are joined with what it and its neighbours tell of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from detection.sources import suricata
from detection.sources.reader import Chunk, columns_of
from detection.sources.suricata import FILE_FIELDS, FLOW_FIELDS, TLS_TOLD, TOLD, Hit, Told
from detection.sources.values import BadRecordError

Reject = Callable[[int | None, str, bytes], None]
Numbered = tuple[int, bytes]
Rows = list[int]
Values = tuple[Any, ...]

_NO_FLOW: Values = (None,) * len(FLOW_FIELDS)
_NO_FILE: Values = (None,) * len(FILE_FIELDS)
_APP_PROTO = TOLD.index("app_proto")


class Window:
    """What was read in one stretch of the log."""

    __slots__ = (
        "began_at",
        "carried",
        "files",
        "flows",
        "hits",
        "kept_bytes",
        "lines",
        "of_flow",
        "of_tx",
        "raw",
        "tls_rows",
        "told",
    )

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.raw: list[bytes] = []
        self.tls_rows: Rows = []
        self.of_flow: dict[int, Rows] = {}
        self.of_tx: dict[tuple[int, int | None], Rows] = {}
        self.carried: dict[int, int] = {}  # flow → its sessions in earlier windows
        self.hits: list[Hit] = []
        # by the digits of the flow number; decoded only for flows that have sessions
        self.flows: dict[bytes, Numbered] = {}
        self.files: dict[bytes, list[Numbered]] = {}
        self.lines = 0
        self.kept_bytes = 0
        self.began_at: int | None = None

    def sessions_of(self, flow_id: int) -> int:
        """Sessions of a flow up to the end of this window."""
        return len(self.of_flow.get(flow_id, ())) + self.carried.get(flow_id, 0)

    def flow_sizes(self, following: Window) -> list[int]:
        """Return for every session how many its flow has, up to the end of the following window."""
        sizes = [1] * len(self.told)
        for flow_id, rows in self.of_flow.items():
            size = self.sessions_of(flow_id) + len(following.of_flow.get(flow_id, ()))
            if size > 1:
                for row in rows:
                    sizes[row] = size
        return sizes

    def drop_sessions(self) -> None:
        self.told, self.raw, self.tls_rows, self.of_flow, self.of_tx, self.carried = [], [], [], {}, {}, {}


def joined(before: Window, window: Window, following: Window, reject: Reject) -> Iterator[Chunk]:
    """Yield the sessions of a window by protocol, with what the three tell of them."""
    around = (before, window, following)
    rows = len(window.told)
    hits: list[list[dict[str, Any]]] = [[] for _ in range(rows)]
    flows, files = [_NO_FLOW] * rows, [_NO_FILE] * rows
    for near in around:
        _join_hits(window, near.hits, hits)
    for flow_id, of_flow in window.of_flow.items():
        digits = b"%d" % flow_id
        for near in around:
            if digits in near.flows:
                _join_flow(near, digits, of_flow, flows, reject)
            if digits in near.files:
                _join_files(near, digits, flow_id, window, files, reject)
    for row in window.tls_rows:  # a file before the upgrade to TLS was not sent by it
        files[row] = _NO_FILE
    parts = (window.told, window.flow_sizes(following), hits, flows, files, window.raw)
    if not window.tls_rows:
        yield from _chunk("http", TOLD, parts)
        return
    tls_rows = frozenset(window.tls_rows)
    http_rows = [row for row in range(rows) if row not in tls_rows]
    yield from _chunk("http", TOLD, [[*map(part.__getitem__, http_rows)] for part in parts])
    yield from _chunk("tls", TLS_TOLD, [[*map(part.__getitem__, window.tls_rows)] for part in parts])


def _chunk(protocol: str, names: tuple[str, ...], parts: Iterable[list[Any]]) -> Iterator[Chunk]:
    told, sizes, hits, flows, files, raw = parts
    if raw:
        columns = columns_of(names, told) | columns_of(FLOW_FIELDS, flows) | columns_of(FILE_FIELDS, files)
        yield Chunk(protocol, columns | {"flow_sessions": sizes, "hits": hits}, raw)


def _join_flow(near: Window, digits: bytes, rows: Rows, into: list[Values], reject: Reject) -> None:
    number, line = near.flows[digits]
    try:
        values = suricata.flow_told_by(line)
    except BadRecordError as error:
        del near.flows[digits]
        reject(number, str(error), line)
        return
    for row in rows:
        into[row] = values


def _join_files(near: Window, digits: bytes, flow_id: int, window: Window, into: list[Values], reject: Reject) -> None:
    lines = near.files[digits]
    for numbered in tuple(lines):
        number, line = numbered
        try:
            tx_id, values = suricata.file_told_by(line)
        except BadRecordError as error:
            lines.remove(numbered)
            reject(number, str(error), line)
            continue
        for row in window.of_tx.get((flow_id, tx_id), ()):
            into[row] = values  # the response comes after the request: the last file stays


def _join_hits(window: Window, hits: Iterable[Hit], into: list[list[dict[str, Any]]]) -> None:
    of_flow, of_tx = window.of_flow, window.of_tx
    for hit in hits:
        if hit.tx_id is None:
            rows = of_flow.get(hit.flow_id)
        else:
            rows = of_tx.get((hit.flow_id, hit.tx_id))
            if rows and len(rows) > 1:
                rows = _rows_of_transaction(window, rows, hit)
        if rows:
            hit.join()
        for row in rows or ():
            into[row].append(hit.value)


def _rows_of_transaction(window: Window, rows: Rows, hit: Hit) -> Rows:
    """Return the rows a hit speaks about.

    After an upgrade (h2c) HTTP/1 and HTTP/2 count from 0 on the same flow: the protocol of the hit chooses, else both.
    """
    return [row for row in rows if window.told[row][_APP_PROTO] == hit.app_proto] or rows
