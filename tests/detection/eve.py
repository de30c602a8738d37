"""Small EVE records for tests, as a sensor writes them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from detection.sources.reader import Chunk, ReaderPolicy
from detection.sources.suricata_reader import Reader

BEGAN = datetime(2026, 3, 1, 12, 0)


def stamp(second: float = 0) -> str:
    return (BEGAN + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")


def record(kind: str, flow_id: int = 1, second: float = 0, **fields: Any) -> dict[str, Any]:
    return {
        "timestamp": stamp(second),
        "flow_id": flow_id,
        "event_type": kind,
        "src_ip": "10.0.0.7",
        "src_port": 49152,
        "dest_ip": "192.0.2.8",
        "dest_port": 80,
        "proto": "TCP",
    } | fields


def http(flow_id: int = 1, tx_id: int | None = 0, second: float = 0, **fields: Any) -> dict[str, Any]:
    told = {
        "hostname": "shop.example",
        "url": "/search?q=shoes",
        "http_user_agent": "Mozilla/5.0",
        "http_method": "GET",
        "protocol": "HTTP/1.1",
        "status": 200,
        "length": 1234,
        "http_content_type": "text/html",
    }
    told |= fields.pop("http", {})
    told = {name: value for name, value in told.items() if value is not ...}
    numbered = {} if tx_id is None else {"tx_id": tx_id}
    return record("http", flow_id, second, **numbered, http=told, **fields)


def tls(flow_id: int = 1, second: float = 0, **fields: Any) -> dict[str, Any]:
    told = {
        "subject": "C=US, O=Shop, Inc., CN=shop.example",
        "issuerdn": "C=US, O=CA, CN=CA 1",
        "serial": "00:96:DF:47:0E",
        "fingerprint": "f4:27:95:84:25:ff:18:71:78:a9:47:52:8e:c1:9c:6b:28:e5:e4:cb",
        "sni": "shop.example",
        "version": "TLS 1.2",
        "notbefore": "2024-05-21T00:00:00",
        "notafter": "2025-05-21T23:59:59",
        "ja3": {"hash": "04307588e98e5900d4e7e3830eb705a9", "string": "771,4865-4866,27-23,29-23,0"},
        "ja3s": {"hash": "eb1d94daa7e0344597e756a1fb6e7054", "string": "771,4865,51-43"},
        "ja4": "t13d1516h2_8daaf6152771_e5627efa2ab1",
        "client_alpns": ["h2", "http/1.1"],
    }
    told |= fields.pop("tls", {})
    told = {name: value for name, value in told.items() if value is not ...}
    return record("tls", flow_id, second, **{"dest_port": 443} | fields, tls=told)


def alert(flow_id: int = 1, tx_id: int | None = 0, second: float = 0, sid: int = 2001, **fields: Any) -> dict[str, Any]:
    told = {
        "action": "allowed",
        "gid": 1,
        "signature_id": sid,
        "rev": 3,
        "signature": f"ET WEB_SERVER attack {sid}",
        "category": "Web Application Attack",
        "severity": 1,
    } | fields.pop("alert", {})
    numbered = {} if tx_id is None else {"tx_id": tx_id}
    return record("alert", flow_id, second, **numbered, alert=told, **fields)


def flow(flow_id: int = 1, second: float = 0, **told: Any) -> dict[str, Any]:
    values = {
        "pkts_toserver": 6,
        "pkts_toclient": 5,
        "bytes_toserver": 700,
        "bytes_toclient": 9000,
        "start": stamp(0),
        "end": stamp(2),
    }
    return record("flow", flow_id, second, app_proto="http", flow=values | told)


def fileinfo(flow_id: int = 1, tx_id: int = 0, second: float = 0, **told: Any) -> dict[str, Any]:
    values = {"filename": "/search", "magic": "HTML document", "size": 1234, "sha256": "ab" * 32, "tx_id": tx_id}
    return record("fileinfo", flow_id, second, app_proto="http", fileinfo=values | told)


def line(value: dict[str, Any] | bytes) -> bytes:
    """Return a record as Suricata writes it: no spaces. Bytes stay as they are."""
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def log(records: Iterable[dict[str, Any] | bytes]) -> bytes:
    return b"".join(line(one) + b"\n" for one in records)


def read(data: bytes | Iterable[dict[str, Any] | bytes], **policy: Any) -> tuple[list[dict[str, Any]], Reader]:
    """Read a log to its end; return its sessions as rows, and the reader."""
    reader = Reader(io.BytesIO(data if isinstance(data, bytes) else log(data)), policy=ReaderPolicy(**policy))
    return [row for chunk in reader for row in rows(chunk)], reader


def rows(chunk: Chunk) -> list[dict[str, Any]]:
    columns = chunk.columns | {"raw": chunk.raw}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
