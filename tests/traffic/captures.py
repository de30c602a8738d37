"""Small captures, written byte by byte: HTTP over TCP over IPv4 over Ethernet. The same arguments, the same bytes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

BEGAN = 1_772_366_400  # 2026-03-01 12:00 UTC
CLIENT, SERVER, PORT = "10.1.4.22", "192.0.2.8", 80
_SYN, _ACK, _PSH, _FIN = 0x02, 0x10, 0x08, 0x01


def request(uri: str, host: str = "shop.example", agent: str = "curl/8.4.0") -> bytes:
    return f"GET {uri} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n\r\n".encode()


def response(body: bytes = b"hello", status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def conversation(uris: Sequence[str], *, port: int = 40000, second: float = 0) -> list[tuple[float, bytes]]:
    """Return the frames of one connection that asks for each URI in turn, with their times."""
    frames = _frames(uris, port)
    return [(second + number / 1000, frame) for number, frame in enumerate(frames)]


def _frames(uris: Sequence[str], port: int) -> Iterator[bytes]:
    client, server = 1000, 5000  # sequence numbers
    yield _tcp(True, port, client, 0, _SYN)
    yield _tcp(False, port, server, client + 1, _SYN | _ACK)
    client, server = client + 1, server + 1
    yield _tcp(True, port, client, server, _ACK)
    for uri in uris:
        asked, answered = request(uri), response()
        yield _tcp(True, port, client, server, _PSH | _ACK, asked)
        client += len(asked)
        yield _tcp(False, port, server, client, _PSH | _ACK, answered)
        server += len(answered)
        yield _tcp(True, port, client, server, _ACK)
    yield _tcp(True, port, client, server, _FIN | _ACK)
    yield _tcp(False, port, server, client + 1, _FIN | _ACK)
    yield _tcp(True, port, client + 1, server + 1, _ACK)


def _tcp(up: bool, port: int, sequence: int, acknowledged: int, flags: int, data: bytes = b"") -> bytes:
    source, target = (IPv4Address(CLIENT), IPv4Address(SERVER)) if up else (IPv4Address(SERVER), IPv4Address(CLIENT))
    ports = (port, PORT) if up else (PORT, port)
    segment = struct.pack("!HHIIBBHHH", *ports, sequence, acknowledged, 5 << 4, flags, 65535, 0, 0) + data
    pseudo = source.packed + target.packed + struct.pack("!BBH", 0, 6, len(segment))
    segment = segment[:16] + struct.pack("!H", _checksum(pseudo + segment)) + segment[18:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, 6, 0) + source.packed + target.packed
    header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
    return bytes(6) + bytes(5) + b"\1" + struct.pack("!H", 0x0800) + header + segment


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    words = struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pcap(frames: Sequence[tuple[float, bytes]]) -> bytes:
    """Return frames as a pcap file (little endian, microseconds)."""
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)]
    for second, frame in frames:
        parts.append(struct.pack("<IIII", BEGAN + int(second), round(second % 1 * 1_000_000), len(frame), len(frame)))
        parts.append(frame)
    return b"".join(parts)


def pcapng(frames: Sequence[tuple[float, bytes]]) -> bytes:
    """Return frames as a pcapng file: a section, an interface, a packet block each."""
    parts = [
        struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28),
        struct.pack("<IIHHII", 1, 20, 1, 0, 262144, 20),
    ]
    for second, frame in frames:
        time = BEGAN * 1_000_000 + round(second * 1_000_000)
        padded = frame + bytes(-len(frame) % 4)
        size = 32 + len(padded)
        fixed = struct.pack("<IIIIIII", 6, size, 0, time >> 32, time & 0xFFFFFFFF, len(frame), len(frame))
        parts += [fixed, padded, struct.pack("<I", size)]
    return b"".join(parts)
