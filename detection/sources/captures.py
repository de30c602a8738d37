"""How saved captures begin. Their sessions are for Suricata to read; whether there is anything to read is seen here."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_PCAP = {
    bytes.fromhex("a1b2c3d4"): ">",  # pcap, by either byte order, in microseconds
    bytes.fromhex("d4c3b2a1"): "<",
    bytes.fromhex("a1b23c4d"): ">",  # in nanoseconds
    bytes.fromhex("4d3cb2a1"): "<",
}
_PCAPNG = bytes.fromhex("0a0d0d0a")
MAGICS = frozenset({*_PCAP, _PCAPNG})
HEAD = 1 << 20  # bytes that `fault_of` wants to see; the first packet of a pcapng stands behind names and comments
_PCAP_HEADER, _RECORD_HEADER = 24, 16
_MOST_OF_PACKET = 262_144  # libpcap reads no longer ones
_BYTE_ORDERS = {bytes.fromhex("1a2b3c4d"): ">", bytes.fromhex("4d3c2b1a"): "<"}
_INTERFACE, _PACKETS = 1, (2, 3, 6)  # block types: an interface; an old, a simple and an enhanced packet
_LEAST_OF_SECTION = 28


def is_capture(start: bytes) -> bool:
    """Say whether a file that begins so is a pcap or pcapng; its name means nothing."""
    return start[:4] in MAGICS


def fault_of(head: bytes) -> str | None:
    """Return why a capture that begins so cannot be read, None where nothing speaks against it.

    `head` is its first `HEAD` bytes, or all there are."""
    if head[:4] == _PCAPNG:
        return _fault_of_pcapng(head)
    if (order := _PCAP.get(head[:4])) is not None:
        return _fault_of_pcap(head, order)
    return "it is no pcap or pcapng"


def _fault_of_pcap(head: bytes, order: str) -> str | None:
    if len(head) < _PCAP_HEADER:
        return "it breaks off in its header"
    major, minor = struct.unpack_from(f"{order}HH", head, 4)
    if major != 2 or minor > 4:
        return f"pcap of version {major}.{minor}, known is 2.4"
    if len(head) < _PCAP_HEADER + _RECORD_HEADER:
        return "it holds no packet"
    (size,) = struct.unpack_from(f"{order}I", head, _PCAP_HEADER + 8)
    if size > _MOST_OF_PACKET:
        return f"its first packet claims {size:,} bytes"
    return None if len(head) >= _PCAP_HEADER + _RECORD_HEADER + size else "it breaks off in its first packet"


def _fault_of_pcapng(head: bytes) -> str | None:
    order = _BYTE_ORDERS.get(head[8:12])
    if order is None:
        return "it breaks off in its header" if len(head) < 12 else "its header names no byte order"
    has_interface = False
    end = 0
    for kind, size in _blocks(head, order):
        if size % 4 or size < (12 if end else _LEAST_OF_SECTION):
            return f"a block at byte {end:,} claims {size:,} bytes"
        end += size
        has_interface |= kind == _INTERFACE
        if kind in _PACKETS:
            if not has_interface:
                return "a packet stands before any interface"
            return None if len(head) >= min(end, HEAD) else "it breaks off in its first packet"
    if end > len(head) and len(head) < HEAD:
        return "it breaks off before its first packet"
    return "it holds no packet" if end == len(head) < HEAD else None


def _blocks(head: bytes, order: str) -> Iterator[tuple[int, int]]:
    """Yield type and length of the blocks of a pcapng, as far as they are there."""
    place = 0
    while place + 8 <= len(head):
        kind, size = struct.unpack_from(f"{order}II", head, place)
        yield kind, size
        place += size
