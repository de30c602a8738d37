"""How saved captures begin. Their sessions are for Suricata to read."""

from __future__ import annotations

MAGICS = frozenset(
    {
        bytes.fromhex("a1b2c3d4"),  # pcap, by either byte order, in microseconds
        bytes.fromhex("d4c3b2a1"),
        bytes.fromhex("a1b23c4d"),  # in nanoseconds
        bytes.fromhex("4d3cb2a1"),
        bytes.fromhex("0a0d0d0a"),  # pcapng
    }
)


def is_capture(start: bytes) -> bool:
    """Say whether a file that begins so is a pcap or pcapng; its name means nothing."""
    return start[:4] in MAGICS
