"""Reads a Suricata EVE log, plain or gzip, in one pass: sessions joined with hits, flows and files, in bounded memory.

The log is cut into windows. The sessions of a window are joined with what the window itself, the one before and the one
after it hold, so every record is found in any order within at least one whole window.
"""

from __future__ import annotations

import base64
import re
import tempfile
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, BinaryIO

import orjson

from detection.sources import suricata
from detection.sources.captures import is_capture
from detection.sources.lines import LOCAL_FILE, LineBlocks, UnpackLimits
from detection.sources.suricata import (
    FILE_FIELDS,
    FLOW_FIELDS,
    FLOW_ID,
    FLOW_ID_AT,
    KIND,
    KIND_FROM,
    KIND_SPACED,
    KIND_TO,
    RECORD,
    SHORTEST,
    TLS_TOLD,
    TOLD,
    Hit,
    Told,
    hit_told_by,
    tls_told_by,
    told_by,
)
from detection.sources.values import BadRecordError, parse_line


@dataclass(frozen=True, slots=True)
class ReaderPolicy:
    """How much is held back to join, and how large a chunk grows."""

    join_lines: int = 100_000  # a window is never shorter
    join_seconds: int = 60  # nor this, in the time of the log,
    window_bytes: int = 128 << 20  # unless it holds more than this by then
    window_bytes_most: int = 512 << 20  # longer lines than a sensor writes: shorter windows
    segment_rows: int = 50_000
    segment_bytes: int = 256 << 20  # of raw lines
    probe_bytes: int = 64 << 20  # when nothing up to here,
    probe_lines: int = 100_000  # or here is a record, the rest is not looked at
    max_line: int = 16 << 20
    excerpt_bytes: int = 64 << 10  # of a file that is refused whole
    limits: UnpackLimits = LOCAL_FILE
    arrays: bool = True  # a file that begins like a JSON array is one

    def blocks_of(self, stream: BinaryIO) -> LineBlocks:
        return LineBlocks(stream, limits=self.limits, max_line=self.max_line, arrays=self.arrays)


# reasons that say more of a line than that it is odd
TWICE = "the same line twice"
TOO_LONG = "line longer than "


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sessions of one protocol as columns of equal length, and the line each came from."""

    protocol: str
    columns: dict[str, list[Any]]
    raw: list[bytes]


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


_Numbered = tuple[int, bytes]
_Rows = list[int]
_KIND_LENGTH = len(KIND)
_FLOW_DIGITS_AT = FLOW_ID_AT + len(FLOW_ID)
_FLOW_ID_PLACE = slice(FLOW_ID_AT, _FLOW_DIGITS_AT)
_HTTP_KIND, _TLS_KIND = b'http"', b'tls",'  # five bytes tell apart what is read
_DECODED = frozenset({_HTTP_KIND, _TLS_KIND, b"alert"})


class _Window:
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
        self.tls_rows: _Rows = []
        self.of_flow: dict[int, _Rows] = {}
        self.of_tx: dict[tuple[int, int | None], _Rows] = {}
        self.carried: dict[int, int] = {}  # flow → its sessions in earlier windows
        self.hits: list[Hit] = []
        # by the digits of the flow number; decoded only for flows that have sessions
        self.flows: dict[bytes, _Numbered] = {}
        self.files: dict[bytes, list[_Numbered]] = {}
        self.lines = 0
        self.kept_bytes = 0
        self.began_at: int | None = None

    def sessions_of(self, flow_id: int) -> int:
        """Sessions of a flow up to the end of this window."""
        return len(self.of_flow.get(flow_id, ())) + self.carried.get(flow_id, 0)

    def flow_sizes(self, following: _Window) -> list[int]:
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


class _Ready:
    """Sessions of one protocol that were joined and wait to fill a chunk."""

    __slots__ = ("names", "parts", "protocol")

    def __init__(self, protocol: str, names: tuple[str, ...]) -> None:
        self.protocol = protocol
        self.names = names  # of the values told
        # told, sessions of the flow, hits, flow, file, line: lists of one length
        self.parts: tuple[list[Any], ...] = ([], [], [], [], [], [])

    def extend(self, parts: Iterable[Iterable[Any]]) -> None:
        for own, more in zip(self.parts, parts, strict=True):
            own.extend(more)

    def rows_of_next(self, policy: ReaderPolicy, *, everything: bool) -> int:
        """Return how many sessions the next chunk holds; 0 when it can still grow."""
        raw = self.parts[-1]
        sizes = list(accumulate(map(len, raw[: policy.segment_rows])))
        rows = bisect_right(sizes, policy.segment_bytes) or min(1, len(raw))
        can_grow = rows == len(raw) and rows < policy.segment_rows
        return 0 if can_grow and not everything else rows

    def cut(self, rows: int) -> Chunk:
        told, sizes, hits, flows, files, raw = (part[:rows] for part in self.parts)
        for part in self.parts:
            del part[:rows]
        columns = _columns(self.names, told) | _columns(FLOW_FIELDS, flows) | _columns(FILE_FIELDS, files)
        return Chunk(self.protocol, columns | {"flow_sessions": sizes, "hits": hits}, raw)


def _columns(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


class Reader:
    """Iterate to get chunks of sessions; counts, rejected, orphans, digest, rules_seen, refused tell the rest."""

    has_rules = True  # the sensor looks with rules

    def __init__(self, stream: BinaryIO | LineBlocks, *, policy: ReaderPolicy | None = None) -> None:
        self.policy = policy or ReaderPolicy()
        self.counts = Counts()
        self.rules_seen: dict[int, dict[str, Any]] = {}
        self.refused: str | None = None
        self._blocks = stream if isinstance(stream, LineBlocks) else self.policy.blocks_of(stream)
        self._bad_lines = 0
        self._excerpt = b""
        self._before, self._waiting, self._window = _Window(), _Window(), _Window()
        self._ready = _Ready("http", TOLD), _Ready("tls", TLS_TOLD)
        self._rejected = tempfile.SpooledTemporaryFile(max_size=1 << 20)  # noqa: SIM115 - closed with the reader
        self._orphans = tempfile.SpooledTemporaryFile(max_size=1 << 20)  # noqa: SIM115

    # --- what the caller gets

    def __iter__(self) -> Iterator[Chunk]:
        for first, lines, cut in self._blocks:
            if first == 1:
                self._excerpt = b"\n".join(lines)[: self.policy.excerpt_bytes]
            if cut:
                self.counts.lines += 1
                self._reject(first, f"{TOO_LONG}{self.policy.max_line} bytes", lines[0])
                continue
            self._read(first, lines)
            self._probe()
            if self._is_window_full(lines[-1]):
                yield from self._close_window()
        self._note_problem()
        self._judge_whole()
        yield from self._close_window()
        yield from self._close_window()
        self._keep_orphans(self._before)
        yield from self._cut_chunks(everything=True)

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes as received."""
        return self._blocks.digest

    @property
    def is_inspected(self) -> bool:
        """Whether threat rules spoke; "SURICATA ..." ones report odd protocol use and are always there."""
        return any(not is_protocol_notice(rule["msg"]) for rule in self.rules_seen.values())

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

    # --- lines

    def _read(self, first: int, lines: list[bytes]) -> None:
        """Sort lines by their type: a search for bytes first, the parser for what is needed or odd.

        One loop: two thirds of a log pass it without being parsed, and a call per line would cost more than the work.
        """
        window = self._window
        flows, files = window.flows, window.files
        others: dict[bytes, int] = {}
        kept = blank = 0
        sessions, tls = len(window.raw), len(window.tls_rows)
        for number, line in enumerate(lines, first):
            at = line.find(KIND, KIND_FROM, KIND_TO) + _KIND_LENGTH
            if at < KIND_FROM:
                at = line.find(KIND_SPACED, KIND_FROM, KIND_TO) + _KIND_LENGTH + 1
            kind = line[at : at + 5]  # five are enough to tell apart what is read
            if kind in _DECODED:
                if not self._read_typed(kind, number, line):
                    continue
            elif (
                at >= KIND_FROM
                and line[_FLOW_ID_PLACE] == FLOW_ID
                and line[-1:] == b"}"
                and line.rfind(RECORD, at, -SHORTEST) < 0
            ):
                if kind == b'flow"':
                    flows[line[_FLOW_DIGITS_AT : line.find(b",", _FLOW_DIGITS_AT)]] = (number, line)
                elif kind == b"filei":
                    flow_digits = line[_FLOW_DIGITS_AT : line.find(b",", _FLOW_DIGITS_AT)]
                    files.setdefault(flow_digits, []).append((number, line))
                elif kind[:4] != _TLS_KIND[:4]:
                    name = line[at : line.find(b'"', at)]
                    others[name] = others.get(name, 0) + 1
                    continue
                else:
                    self._read_odd(number, line)
            elif not line.strip(_BLANK):
                blank += 1
                continue
            else:
                self._read_odd(number, line)
            kept += len(line)
        for name, count in others.items():
            self.counts.count_other(name.decode("utf-8", "replace"), count)
        if window.began_at is None:
            window.began_at = suricata.time_of(lines[0])
        window.lines += len(lines)
        window.kept_bytes += kept
        counts, tls = self.counts, len(window.tls_rows) - tls
        counts.lines += len(lines) - blank
        counts.tls += tls
        counts.http += len(window.raw) - sessions - tls

    def _read_typed(self, kind: bytes, number: int, line: bytes) -> bool:
        """Decode a session or a hit; False when it was rejected."""
        try:
            if kind == b"alert":
                if (hit := hit_told_by(line)) is not None:
                    self._take_hit(hit)
                    return True
            elif kind == _HTTP_KIND:
                if (told := told_by(line)) is not None:
                    self._take_session(line, told)
                    return True
            elif (told := tls_told_by(line)) is not None:
                self._take_tls(line, told)
                return True
        except BadRecordError as error:
            self._reject(number, str(error), line)
            return False
        return self._read_odd(number, line)

    def _read_odd(self, number: int, line: bytes) -> bool:
        """Read a line with the forgiving parser; False when it was rejected."""
        try:
            record = parse_line(line)
            kind = record.get("event_type")
            if kind == "http":
                self._take_session(line, suricata.told_in(record))
            elif kind == "tls":
                self._take_tls(line, suricata.told_in(record))
            elif kind == "alert":
                self._take_hit(suricata.hit_in(record, line))
            elif kind == "flow":
                self._window.flows[_digits_in(record)] = (number, line)
            elif kind == "fileinfo":
                self._window.files.setdefault(_digits_in(record), []).append((number, line))
            elif isinstance(kind, str):
                self.counts.count_other(kind)
            else:
                raise BadRecordError("no event_type")
        except BadRecordError as error:
            self._reject(number, str(error), line)
            return False
        return True

    def _take_session(self, line: bytes, told: Told) -> None:
        window, before = self._window, self._waiting
        row, flow_id = len(window.raw), told[1]
        key = (flow_id, told[2])
        rows = window.of_tx.get(key)
        if (rows and _holds(window, rows, line)) or (key in before.of_tx and _holds(before, before.of_tx[key], line)):
            raise BadRecordError(TWICE)
        if rows:
            rows.append(row)
        else:
            window.of_tx[key] = [row]
        of_flow = window.of_flow.get(flow_id)
        if of_flow is None:
            window.of_flow[flow_id] = [row]
            if before.raw and (earlier := before.sessions_of(flow_id)):
                window.carried[flow_id] = earlier
        else:
            of_flow.append(row)
        window.told.append(told)
        window.raw.append(line)

    def _take_tls(self, line: bytes, told: Told) -> None:
        self._take_session(line, told)
        self._window.tls_rows.append(len(self._window.raw) - 1)

    def _take_hit(self, hit: Hit) -> None:
        self._window.hits.append(hit)
        self.counts.rule_hits += 1
        told = hit.value
        if told["sid"] not in self.rules_seen:
            self.rules_seen[told["sid"]] = {
                "sid": told["sid"],
                "msg": told["signature"] or "",
                "category": told["category"],
                "priority": told["severity"],
            }

    def _reject(self, number: int | None, reason: str, data: bytes) -> None:
        self.counts.rejected += 1
        self.counts.reasons[reason] += 1
        self._bad_lines += number is not None
        self._rejected.write(Rejected(number, reason, data).to_json())

    # --- the file as a whole

    @property
    def _accepted(self) -> int:
        return self.counts.lines - self._bad_lines

    def _probe(self) -> None:
        if self._accepted:
            return
        if self._blocks.unpacked > self.policy.probe_bytes or self.counts.lines > self.policy.probe_lines:
            self._blocks.stopped = True  # the rest is only hashed

    def _note_problem(self) -> None:
        if self._blocks.problem:
            self._reject(None, self._blocks.problem, b"")

    def _judge_whole(self) -> None:
        """A file without a single record is refused whole, with one reason instead of one per line."""
        if self._accepted > 0 or not self.counts.rejected:
            return
        self.refused = why_no_log(self._excerpt)
        self.counts = Counts()
        self._rejected.close()
        self._rejected = tempfile.SpooledTemporaryFile(max_size=1 << 20)  # noqa: SIM115
        self._reject(None, self.refused, self._excerpt)

    # --- windows

    def _is_window_full(self, last_line: bytes) -> bool:
        window, policy = self._window, self.policy
        if window.kept_bytes > policy.window_bytes_most:
            return True
        if window.lines < policy.join_lines:
            return False
        if window.kept_bytes > policy.window_bytes:
            return True
        now = suricata.time_of(last_line)
        return now is None or window.began_at is None or abs(now - window.began_at) >= policy.join_seconds * 1_000_000

    def _close_window(self) -> Iterator[Chunk]:
        """Join the waiting window with its neighbours, hand it on, and let the next one wait."""
        self._join(self._before, self._waiting, self._window)
        self._keep_orphans(self._before)
        self._waiting.drop_sessions()
        self._before, self._waiting, self._window = self._waiting, self._window, _Window()
        yield from self._cut_chunks()

    def _join(self, before: _Window, window: _Window, following: _Window) -> None:
        rows = len(window.told)
        hits: list[list[dict[str, Any]]] = [[] for _ in range(rows)]
        flows: list[tuple[Any, ...]] = [_NO_FLOW] * rows
        files: list[tuple[Any, ...]] = [_NO_FILE] * rows
        for near in (before, window, following):
            _join_hits(window, near.hits, hits)
            self._join_flows(window, near, flows)
            self._join_files(window, near, files)
        parts = (window.told, window.flow_sizes(following), hits, flows, files, window.raw)
        http, tls = self._ready
        if not window.tls_rows:
            http.extend(parts)
            return
        for row in window.tls_rows:  # a file before the upgrade to TLS was not sent by it
            files[row] = _NO_FILE
        tls_rows = frozenset(window.tls_rows)
        http_rows = [row for row in range(rows) if row not in tls_rows]
        for ready, chosen in ((http, http_rows), (tls, window.tls_rows)):
            ready.extend(map(part.__getitem__, chosen) for part in parts)

    def _join_flows(self, window: _Window, near: _Window, into: list[tuple[Any, ...]]) -> None:
        if not near.flows:
            return
        for flow_id, rows in window.of_flow.items():
            numbered = near.flows.get(b"%d" % flow_id)
            if numbered is None:
                continue
            try:
                values = suricata.flow_told_by(numbered[1])
            except BadRecordError as error:
                del near.flows[b"%d" % flow_id]
                self._reject(numbered[0], str(error), numbered[1])
                continue
            for row in rows:
                into[row] = values

    def _join_files(self, window: _Window, near: _Window, into: list[tuple[Any, ...]]) -> None:
        if not near.files:
            return
        for flow_id in window.of_flow:
            lines = near.files.get(b"%d" % flow_id)
            for numbered in tuple(lines or ()):
                try:
                    tx_id, values = suricata.file_told_by(numbered[1])
                except BadRecordError as error:
                    near.files[b"%d" % flow_id].remove(numbered)
                    self._reject(numbered[0], str(error), numbered[1])
                    continue
                for row in window.of_tx.get((flow_id, tx_id), ()):
                    into[row] = values  # the response comes after the request: the last file stays

    def _keep_orphans(self, window: _Window) -> None:
        for hit in window.hits:
            if not hit.is_joined:
                self.counts.orphan_hits += 1
                self._orphans.write(hit.line + b"\n")

    # --- chunks

    def _cut_chunks(self, *, everything: bool = False) -> Iterator[Chunk]:
        for ready in self._ready:
            while rows := ready.rows_of_next(self.policy, everything=everything):
                yield ready.cut(rows)


_BLANK = b"\0 \t\r"
_NO_FLOW = (None,) * len(FLOW_FIELDS)
_NO_FILE = (None,) * len(FILE_FIELDS)


def _holds(window: _Window, rows: _Rows, line: bytes) -> bool:
    return any(window.raw[row] == line for row in rows)


def _digits_in(record: dict[str, Any]) -> bytes:
    return b"%d" % suricata.flow_in(record)


def _join_hits(window: _Window, hits: Iterable[Hit], into: list[list[dict[str, Any]]]) -> None:
    of_flow, of_tx = window.of_flow, window.of_tx
    for hit in hits:
        if hit.tx_id is None:
            rows = of_flow.get(hit.flow_id)
        else:
            rows = of_tx.get((hit.flow_id, hit.tx_id))
            if rows and len(rows) > 1:
                rows = _rows_of_transaction(window, rows, hit)
        for row in rows or ():
            hit.is_joined = True
            into[row].append(hit.value)


def _rows_of_transaction(window: _Window, rows: _Rows, hit: Hit) -> _Rows:
    """Return the rows a hit speaks about.

    After an upgrade (h2c) HTTP/1 and HTTP/2 count from 0 on the same flow: the protocol of the hit chooses, else both.
    """
    return [row for row in rows if window.told[row][_APP_PROTO] == hit.app_proto] or rows


_APP_PROTO = TOLD.index("app_proto")


def is_protocol_notice(signature: str) -> bool:
    """Return whether a rule reports odd protocol use, not malice."""
    return signature.startswith("SURICATA ")


def why_no_log(start: bytes) -> str:
    """Return why a file that begins so is no EVE log, and what was expected."""
    expected = "expected Suricata EVE or Zeek JSON, one record per line, or a Zeek log with its # header"
    if is_capture(start):
        return "a saved capture; Suricata reads it: manage.py ingest FILE"
    head = start.lstrip(b"\0 \t\r\n")
    if head.startswith(b"["):
        return f"a JSON array; {expected}"
    if head.startswith(b"{"):
        return f"JSON, but no line is a record with an event_type; {expected}"
    if b"\0" in head[:4096]:
        return f"binary data; {expected}"
    return f"text that is no JSON; {expected}"


def blocks_of(file: Any) -> Iterator[bytes]:
    """Yield what was written to a temporary file."""
    file.seek(0)
    return iter(lambda: file.read(1 << 20), b"")
