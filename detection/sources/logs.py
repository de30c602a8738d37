"""Which reader a log is for: its first lines decide, never its name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

from detection.sources import zeek
from detection.sources.reader import ReaderPolicy
from detection.sources.suricata_reader import Reader
from detection.sources.values import BadRecordError
from detection.sources.zeek import Header
from detection.sources.zeek_companions import Companions
from detection.sources.zeek_reader import ZeekReader

_LINES = 200  # a log whose first lines are all torn is no log


def open_log(
    stream: BinaryIO, *, policy: ReaderPolicy | None = None, companions: Companions | None = None
) -> Reader | ZeekReader:
    """Return the reader of a log; what is no log goes to the one that says so."""
    policy = policy or ReaderPolicy()
    blocks = policy.blocks_of(stream)
    if zeek_kind(blocks.head()) is None:
        return Reader(blocks, policy=policy)
    return ZeekReader(blocks, policy=policy, companions=companions)


def zeek_kind(lines: Iterable[bytes]) -> str | None:
    """Return which Zeek log begins with these lines, `unknown` when it does not say, None when it is no Zeek log."""
    header: Header | None = None
    for _, line in zip(range(_LINES), lines, strict=False):
        line = line.lstrip(b"\0 \t").rstrip(b"\r")
        if header is None and zeek.is_header(line):
            header = Header()
        if line.startswith(b"#") and header is not None:
            header.take(line.decode("utf-8", "replace"))
        elif line.startswith(b"{"):
            try:
                record = zeek.record_of(line)
            except BadRecordError:
                continue
            return zeek.kind_in(record) if zeek.looks_like_zeek(record) else None
        elif line and not line.startswith(b"#"):
            break
    return header.kind if header is not None and header.fields else None
