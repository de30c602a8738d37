"""Flows as the lines that Suricata writes about them. Knows nothing of what a flow really is."""

from __future__ import annotations

import hashlib
import socket
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from detection.classtypes import CLASSTYPES
from traffic.simulator.handshakes import Handshake, day_of
from traffic.simulator.vocabulary import Rule

_HEADERS = 420  # bytes of one request's or answer's head, about
_PACKET = 1_400
_MAGIC = {
    "text/html": "HTML document, ASCII text, with very long lines",
    "application/json": "JSON data",
    "image/jpeg": "JPEG image data, JFIF standard 1.01",
    "image/png": "PNG image data, 8-bit/color RGB",
    "image/gif": "GIF image data, version 89a, 1 x 1",
    "text/plain": "ASCII text",
    "text/xml": "XML 1.0 document, ASCII text",
    "application/x-sh": "POSIX shell script, ASCII text executable",
}


@dataclass(slots=True)
class Session:
    """One HTTP transaction on the wire."""

    asked_at: int  # microseconds since 1970
    done_at: int
    method: str
    uri: str
    agent: str | None
    referer: str | None
    status: int
    content_type: str | None
    length: int
    has_file: bool


@dataclass(slots=True)
class Hit:
    rule: Rule
    at: int
    tx_id: int | None  # None: it speaks about the flow


@dataclass(slots=True)
class Wire:
    """One flow on the wire."""

    sensor: str
    start: int
    end: int
    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int
    host: str | None
    version: str = "HTTP/1.1"
    sessions: list[Session] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    tls: Handshake | None = None
    logged_at: int = 0  # when the flow record is written
    flow_id: int = 0


def lines_of(wire: Wire) -> Iterator[tuple[int, bytes]]:
    """Yield the lines about a flow with their times."""
    around = _around(wire)
    for tx_id, session in enumerate(wire.sessions):
        http = _http(wire, session)
        yield session.done_at, _line(session.done_at, wire, "http", around, tx_id, {"http": http})
        if session.has_file:
            told = {"http": http, "app_proto": "http", "fileinfo": _file(wire, session, tx_id)}
            yield session.done_at, _line(session.done_at, wire, "fileinfo", around, tx_id, told)
    if wire.tls:
        yield wire.start + 30_000, _line(wire.start + 30_000, wire, "tls", around, None, {"tls": _tls(wire.tls)})
    flow = _flow(wire)
    app = "http" if wire.sessions else "tls" if wire.tls else "failed"
    for hit in wire.hits:
        told = {"alert": _alert(hit.rule), "app_proto": app, "direction": "to_server"}
        if hit.tx_id is not None:
            told["http"] = _http(wire, wire.sessions[hit.tx_id])
        yield hit.at, _line(hit.at, wire, "alert", around, hit.tx_id, told)
    yield wire.logged_at, _line(wire.logged_at, wire, "flow", around, None, {"app_proto": app, "flow": flow})


def stamp(micros: int) -> str:
    """Return a time as Suricata writes it, 31 characters."""
    seconds, rest = divmod(micros, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}+0000"


@lru_cache(maxsize=4_096)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _line(at: int, wire: Wire, kind: str, around: dict[str, Any], tx_id: int | None, told: dict[str, Any]) -> bytes:
    record: dict[str, Any] = {"timestamp": stamp(at), "flow_id": wire.flow_id, "in_iface": "synthetic0"}
    record["event_type"] = kind
    record |= around
    if tx_id is not None:
        record["tx_id"] = tx_id
    record |= told
    record["host"] = wire.sensor
    return orjson.dumps(record)


def _around(wire: Wire) -> dict[str, Any]:
    return {
        "src_ip": wire.src_ip,
        "src_port": wire.src_port,
        "dest_ip": wire.dst_ip,
        "dest_port": wire.dst_port,
        "proto": "TCP",
        "pkt_src": "wire/pcap",
        "community_id": community_id(wire.src_ip, wire.src_port, wire.dst_ip, wire.dst_port),
    }


def _http(wire: Wire, session: Session) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if wire.host is not None:
        told["hostname"] = wire.host
    if wire.dst_port != 80:
        told["http_port"] = wire.dst_port
    told["url"] = session.uri
    if session.agent:
        told["http_user_agent"] = session.agent
    if session.content_type and session.length:
        told["http_content_type"] = session.content_type
    if session.referer:
        told["http_refer"] = session.referer
    told |= {
        "http_method": session.method,
        "protocol": wire.version,
        "status": session.status,
        "length": session.length,
    }
    return told


def _file(wire: Wire, session: Session, tx_id: int) -> dict[str, Any]:
    path = session.uri.partition("?")[0]
    seen = f"{wire.host}{path}{session.length}".encode("utf-8", "replace")
    return {
        "filename": path,
        "magic": _MAGIC.get(session.content_type or "", "data"),
        "gaps": False,
        "state": "CLOSED",
        "sha256": hashlib.sha256(seen).hexdigest(),
        "stored": False,
        "size": session.length,
        "tx_id": tx_id,
    }


def _flow(wire: Wire) -> dict[str, Any]:
    to_server = sum(_HEADERS + len(one.uri) for one in wire.sessions) + (wire.tls.sent if wire.tls else 0)
    to_client = sum(_HEADERS + one.length for one in wire.sessions) + (wire.tls.received if wire.tls else 0)
    packets = (4 + to_server // _PACKET + to_client // (2 * _PACKET), 3 + to_client // _PACKET)
    return {
        "pkts_toserver": packets[0],
        "pkts_toclient": packets[1],
        "bytes_toserver": to_server + 66 * packets[0],
        "bytes_toclient": to_client + 66 * packets[1],
        "start": stamp(wire.start),
        "end": stamp(wire.end),
        "age": (wire.end - wire.start) // 1_000_000,
        "state": "closed",
        "reason": "timeout",
        "alerted": bool(wire.hits),
    }


def _tls(seen: Handshake) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if seen.subject is not None:
        sha1 = seen.sha1
        told |= {
            "subject": seen.subject,
            "issuerdn": seen.issuer,
            "serial": ":".join(sha1[at : at + 2].upper() for at in range(0, 16, 2)),
            "fingerprint": ":".join(sha1[at : at + 2] for at in range(0, 40, 2)),
            "notbefore": day_of(seen.not_before),
            "notafter": day_of(seen.not_after),
        }
    if seen.resumed:
        told["session_resumed"] = True
    if seen.name is not None:
        told["sni"] = seen.name
    told |= {"version": seen.version, "ja3": {"hash": seen.ja3}, "ja3s": {"hash": seen.ja3s}, "ja4": seen.ja4}
    if seen.alpn:
        told["client_alpns"] = seen.alpn.split(",")
    return told


@lru_cache(maxsize=512)
def _alert(rule: Rule) -> dict[str, Any]:
    known = CLASSTYPES[rule.classtype]
    return {
        "action": "allowed",
        "gid": 1,
        "signature_id": rule.sid,
        "rev": 1,
        "signature": rule.msg,
        "category": known.description,
        "severity": known.priority,
    }


def community_id(src_ip: str, src_port: int, dst_ip: str, dst_port: int) -> str:
    """Return the Community ID, version 1, of a TCP flow: the same for both directions."""
    one, other = (_packed(src_ip), src_port), (_packed(dst_ip), dst_port)
    first, second = (one, other) if one < other else (other, one)
    data = b"".join(
        (b"\0\0", first[0], second[0], b"\x06\0", first[1].to_bytes(2, "big"), second[1].to_bytes(2, "big"))
    )
    return "1:" + b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


@lru_cache(maxsize=65_536)
def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)
