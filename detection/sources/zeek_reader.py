"""Reads one Zeek log, plain or gzip, text or JSON, in one pass and bounded memory.

Sessions (http, ssl) become chunks, joined with what the companions of its file set told (conn, x509, files). Lines of
companions found in the log itself are added to them. A log that comes without companions may hold them further down:
its chunks wait on disk until it was read to its end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from detection.sources import certificates, zeek
from detection.sources.lines import LineBlocks
from detection.sources.reader import TOO_LONG, TWICE, Chunk, LogReader, ReaderPolicy, columns_of
from detection.sources.values import BadRecordError
from detection.sources.zeek import CERTIFICATE_TOLD, FLOW_TOLD, HTTP_TOLD, SSL_TOLD, Header, Values
from detection.sources.zeek_companions import Companions

_NO_HEADER = "a value line before any #fields line"
_BLANK = b"\0 \t\r"
_HEADER_LINES = 16  # a header has eight or nine


class _Sessions:
    """Sessions of one protocol that wait to fill a chunk; all lists have one length."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.names = HTTP_TOLD if protocol == "http" else SSL_TOLD
        self.told: list[tuple[Any, ...]] = []
        self.keys: list[int] = []  # of their connections
        self.certificates: list[tuple[str | None, str | None]] = []
        self.raw: list[bytes] = []
        self.of_flow: dict[int, int] = {}  # sessions of each flow in the last chunk
        self.seen: set[int] = set()  # hashes of the lines of this chunk
        self.seen_before: frozenset[int] = frozenset()  # and of the one before
        self.bytes = 0

    def clear(self) -> None:
        self.told, self.keys, self.certificates, self.raw = [], [], [], []
        self.seen_before, self.seen = frozenset(self.seen), set()
        self.bytes = 0


class ZeekReader(LogReader):
    """Reads one log, as `LogReader` says. No rule inspects what Zeek logs."""

    def __init__(
        self, blocks: LineBlocks, *, policy: ReaderPolicy | None = None, companions: Companions | None = None
    ) -> None:
        super().__init__(blocks, policy or ReaderPolicy())
        self._owns_companions = companions is None
        self._companions = companions or Companions()
        self._waits = self._companions.connections == 0
        self._header: Header | None = None
        self._header_lines: list[bytes] = []  # that no rejected line repeated yet
        self._read_values: Callable[[str], Values] | None = None
        self._sessions = {"http": _Sessions("http"), "ssl": _Sessions("tls")}
        self._held = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the reader
        self._held_rows = 0

    def __iter__(self) -> Iterator[Chunk]:
        for first, lines, cut in self._blocks:
            if cut:
                self.counts.lines += 1
                self._reject(first, f"{TOO_LONG}{self.policy.max_line} bytes", lines[0])
                continue
            for number, line in enumerate(lines, first):
                self._read(number, line)
            yield from self._cut(everything=False)
        if self._blocks.problem:
            self._reject(None, self._blocks.problem, b"")
        yield from self._released()
        yield from self._cut(everything=True)

    def close(self) -> None:
        super().close()
        self._held.close()
        if self._owns_companions:
            self._companions.close()

    # --- lines

    def _read(self, number: int, line: bytes) -> None:
        if line.startswith(b"#") or line.lstrip(_BLANK).startswith(b"#"):
            self._read_header(line.lstrip(_BLANK))
            return
        if not line.strip(_BLANK):
            return
        self.counts.lines += 1
        try:
            if line.lstrip(_BLANK).startswith(b"{"):
                self._read_json(line)
            else:
                self._read_text(line)
        except BadRecordError as error:
            self._reject(number, str(error), self._with_header(line))

    def _read_header(self, line: bytes) -> None:
        if self._header is None:
            self._header = Header()
        self._header.take(line.decode("utf-8", "replace").removesuffix("\r"))
        self._header_lines.append(line)
        del self._header_lines[:-_HEADER_LINES]
        names = zeek.NAMES.get(self._header.kind)
        self._read_values = self._header.reader_of(names) if names and self._header.fields else None

    def _read_text(self, line: bytes) -> None:
        header = self._header
        if header is None or not header.fields:
            raise BadRecordError(_NO_HEADER)
        if self._read_values is None:
            self.counts.count_other(header.kind)
        else:
            self._take(header.kind, self._read_values(line.decode("utf-8", "replace").removesuffix("\r")), line)

    def _with_header(self, line: bytes) -> bytes:
        """Return a rejected line, the first one with the header before it: so what was set aside is a log again."""
        if line.startswith(b"{"):
            return line
        lines, self._header_lines = [*self._header_lines, line], []
        return b"\n".join(lines)

    def _read_json(self, line: bytes) -> None:
        record = zeek.record_of(line)
        kind = zeek.kind_in(record)
        names = zeek.NAMES.get(kind)
        if names is None:
            self.counts.count_other(kind)
        else:
            self._take(kind, zeek.values_in(record, names), line)

    def _take(self, kind: str, values: Values, line: bytes) -> None:
        if kind == "http":
            self._take_session(kind, zeek.http_told(values), values, line)
        elif kind == "ssl":
            self._take_session(kind, zeek.tls_told(values), values, line)
        else:
            if kind == "conn":
                self._companions.add_connection(zeek.connection_key(values), zeek.flow_told(values))
            elif kind == "x509":
                self._companions.add_certificate(*zeek.certificate_told(values))
            else:
                self._take_file(values)
            self.counts.count_other(kind)

    def _take_file(self, values: Values) -> None:
        number, source, sha1 = values
        if source == "SSL" and isinstance(number, str) and isinstance(sha1, str) and certificates.sha1(sha1):
            self._companions.add_sha1(number, sha1.lower())

    def _take_session(self, kind: str, told: tuple[Any, ...], values: Values, line: bytes) -> None:
        sessions = self._sessions[kind]
        mark = hash(line)
        if mark in sessions.seen or mark in sessions.seen_before:
            raise BadRecordError(TWICE)
        sessions.seen.add(mark)
        sessions.told.append(told)
        sessions.keys.append(zeek.connection_key(values))
        sessions.certificates.append(zeek.certificate_keys(values) if kind == "ssl" else (None, None))
        sessions.raw.append(line)
        sessions.bytes += len(line)
        if kind == "http":
            self.counts.http += 1
        else:
            self.counts.tls += 1

    # --- chunks

    def _cut(self, *, everything: bool) -> Iterator[Chunk]:
        for kind, sessions in self._sessions.items():
            is_full = len(sessions.raw) >= self.policy.chunk_rows or sessions.bytes >= self.policy.chunk_bytes
            if not sessions.raw or not (is_full or everything):
                continue
            if self._waits and not everything:
                self._hold(kind, sessions)
            else:
                yield from self._chunks(sessions)
            sessions.clear()

    def _hold(self, kind: str, sessions: _Sessions) -> None:
        for told, key, pair, line in zip(
            sessions.told, sessions.keys, sessions.certificates, sessions.raw, strict=True
        ):
            self._held.write(orjson.dumps((kind, told, key, pair), option=orjson.OPT_APPEND_NEWLINE))
            self._held.write(line + b"\n")
        self._held_rows += len(sessions.raw)

    def _released(self) -> Iterator[Chunk]:
        """Hand over what was held, now that all companions are known."""
        if not self._held_rows:
            return
        waiting, self._sessions = self._sessions, {"http": _Sessions("http"), "ssl": _Sessions("tls")}
        self._waits = False
        self._held.seek(0)
        while head := self._held.readline():
            kind, told, key, pair = orjson.loads(head)
            sessions = self._sessions[kind]
            line = self._held.readline().removesuffix(b"\n")
            sessions.told.append(tuple(told))
            sessions.keys.append(key)
            sessions.certificates.append(tuple(pair))
            sessions.raw.append(line)
            sessions.bytes += len(line)
            yield from self._cut(everything=False)
        for kind, later in waiting.items():
            sessions = self._sessions[kind]
            sessions.told += later.told
            sessions.keys += later.keys
            sessions.certificates += later.certificates
            sessions.raw += later.raw
            sessions.bytes += later.bytes

    def _chunks(self, sessions: _Sessions) -> Iterator[Chunk]:
        """Yield chunks of bounded size from the sessions at hand."""
        flows = self._companions.flows(sessions.keys)
        columns = columns_of(sessions.names, sessions.told) | columns_of(FLOW_TOLD, flows)
        if sessions.protocol == "tls":
            found = self._companions.certificates(sessions.certificates)
            told = columns_of((*CERTIFICATE_TOLD, "cert_sha1"), found)
            for name in ("cert_subject", "cert_issuer"):
                told[name] = [one or other for one, other in zip(columns[name], told[name], strict=True)]
            prints = [certificates.sha1(first) for first, _ in sessions.certificates]
            told["cert_sha1"] = [one or other for one, other in zip(prints, told["cert_sha1"], strict=True)]
            columns |= told
        columns["flow_sessions"] = _flow_sizes(sessions, columns["flow_id"])
        columns["hits"] = [[] for _ in sessions.raw]
        yield from Chunk(sessions.protocol, columns, sessions.raw).parts(self.policy)


def _flow_sizes(sessions: _Sessions, flow_ids: Sequence[int]) -> list[int]:
    """Return for every session how many its flow has, in this chunk and the one before."""
    sizes: dict[int, int] = {}
    for flow_id in flow_ids:
        sizes[flow_id] = sizes.get(flow_id, 0) + 1
    before, sessions.of_flow = sessions.of_flow, sizes
    return [sizes[flow_id] + before.get(flow_id, 0) for flow_id in flow_ids]
