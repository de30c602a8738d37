"""Reads a Suricata EVE log, plain or gzip, in one pass: sessions joined with hits, flows and files, in bounded memory.

The log is cut into windows. The sessions of a window are joined with what the window itself, the one before and the one
after it hold, so every record is found in any order within at least one whole window.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from detection.sources import suricata
from detection.sources.captures import is_capture
from detection.sources.lines import LineBlocks
from detection.sources.reader import TOO_LONG, TWICE, Chunk, Counts, LogReader, ReaderPolicy, temporary_lines
from detection.sources.suricata import (
    FLOW_ID,
    FLOW_ID_AT,
    KIND,
    KIND_FROM,
    KIND_SPACED,
    KIND_TO,
    RECORD,
    SHORTEST,
    Hit,
    Told,
    hit_told_by,
    tls_told_by,
    told_by,
)
from detection.sources.values import BadRecordError, parse_line
from detection.sources.windows import Rows, Window, joined

_KIND_LENGTH = len(KIND)
_FLOW_DIGITS_AT = FLOW_ID_AT + len(FLOW_ID)
_FLOW_ID_PLACE = slice(FLOW_ID_AT, _FLOW_DIGITS_AT)
_HTTP_KIND, _TLS_KIND = b'http"', b'tls",'  # five bytes tell apart what is read
_DECODED = frozenset({_HTTP_KIND, _TLS_KIND, b"alert"})
_BLANK = b"\0 \t\r"


class Reader(LogReader):
    """Reads one log, as `LogReader` says."""

    has_rules = True

    def __init__(self, stream: BinaryIO | LineBlocks, *, policy: ReaderPolicy | None = None) -> None:
        policy = policy or ReaderPolicy()
        super().__init__(stream if isinstance(stream, LineBlocks) else policy.blocks_of(stream), policy)
        self._bad_lines = 0
        self._excerpt = b""
        self._before, self._waiting, self._window = Window(), Window(), Window()

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

    @property
    def is_inspected(self) -> bool:
        """Whether threat rules spoke; "SURICATA ..." ones report odd protocol use and are always there."""
        return any(not is_protocol_notice(rule["msg"]) for rule in self.rules_seen.values())

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
        super()._reject(number, reason, data)
        self._bad_lines += number is not None

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
        self._rejected = temporary_lines()
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
        """Hand on the waiting window, joined with its neighbours, and let the next one wait."""
        chunks = list(joined(self._before, self._waiting, self._window, self._reject))
        self._keep_orphans(self._before)
        self._waiting.drop_sessions()
        self._before, self._waiting, self._window = self._waiting, self._window, Window()
        while chunks:
            yield from chunks.pop(0).parts(self.policy)

    def _keep_orphans(self, window: Window) -> None:
        for hit in window.hits:
            if not hit.is_joined:
                self.counts.orphan_hits += 1
                self._orphans.write(hit.line + b"\n")


def _holds(window: Window, rows: Rows, line: bytes) -> bool:
    return any(window.raw[row] == line for row in rows)


def _digits_in(record: dict[str, Any]) -> bytes:
    return b"%d" % suricata.flow_in(record)


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
