"""Small Zeek logs for tests, as Zeek writes them: text with a header, or JSON lines."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any

from detection.sources.logs import open_log
from detection.sources.reader import ReaderPolicy
from detection.sources.suricata_reader import Reader
from detection.sources.zeek_companions import Companions
from detection.sources.zeek_reader import ZeekReader
from tests.detection import eve

BEGAN = 1_772_366_400.0


def connection(uid: str, second: float = 0, **fields: Any) -> dict[str, Any]:
    return {
        "ts": BEGAN + second,
        "uid": uid,
        "id.orig_h": "10.0.0.7",
        "id.orig_p": 49152,
        "id.resp_h": "192.0.2.8",
        "id.resp_p": 80,
    } | fields


def http(uid: str = "C1", depth: int = 1, second: float = 0, **fields: Any) -> dict[str, Any]:
    told = {
        "trans_depth": depth,
        "method": "GET",
        "host": "shop.example",
        "uri": "/search?q=shoes%20red",
        "referrer": None,
        "version": "1.1",
        "user_agent": "Mozilla/5.0",
        "request_body_len": 0,
        "response_body_len": 1234,
        "status_code": 200,
        "resp_mime_types": ["text/html"],
    }
    return connection(uid, second, **(told | fields))


def ssl(uid: str = "C1", second: float = 0, **fields: Any) -> dict[str, Any]:
    told = {
        "id.resp_p": 443,
        "version": "TLSv12",
        "cipher": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "server_name": "shop.example",
        "resumed": False,
        "next_protocol": "h2",
        "established": True,
        "cert_chain_fuids": ["F1", "F2"],
        "ja3": "04307588e98e5900d4e7e3830eb705a9",
    }
    return connection(uid, second, **(told | fields))


def conn(uid: str = "C1", second: float = 0, **fields: Any) -> dict[str, Any]:
    told = {
        "proto": "tcp",
        "service": "http",
        "duration": 2.5,
        "conn_state": "SF",
        "orig_pkts": 6,
        "orig_ip_bytes": 700,
        "resp_pkts": 5,
        "resp_ip_bytes": 9000,
    }
    return connection(uid, second, **(told | fields))


def x509(key: str = "F1", **fields: Any) -> dict[str, Any]:
    return {
        "ts": BEGAN,
        "id": key,
        "certificate.serial": "0096DF",
        "certificate.subject": "CN=shop.example,O=Shop\\, Inc.,C=US",
        "certificate.issuer": "CN=CA 1,C=US",
        "certificate.not_valid_before": 1_716_249_600.0,
        "certificate.not_valid_after": 1_747_871_999.0,
        "san.dns": ["shop.example", "www.shop.example"],
    } | fields


def files(key: str = "F1", **fields: Any) -> dict[str, Any]:
    return {
        "ts": BEGAN,
        "fuid": key,
        "source": "SSL",
        "mime_type": "application/x-x509-user-cert",
        "sha1": "AB" * 20,
    } | fields


def json_log(records: Iterable[dict[str, Any]]) -> bytes:
    """Return JSON lines; Zeek leaves out what is unset."""
    told = ({name: value for name, value in record.items() if value is not None} for record in records)
    return b"".join(json.dumps(record).encode() + b"\n" for record in told)


def escaped(text: str, separator: str = "\t") -> str:
    """Return a text as Zeek writes it: control characters and the separator as bytes, a backslash twice."""
    odd = {character for character in text if ord(character) < 32 or ord(character) == 127} | {separator, ","}
    text = text.replace("\\", "\\\\")
    return "".join("".join(f"\\x{byte:02x}" for byte in one.encode()) if one in odd else one for one in text)


def value(told: Any, separator: str = "\t") -> str:
    if told is None:
        return "-"
    if isinstance(told, bool):
        return "T" if told else "F"
    if isinstance(told, list):
        return ",".join(escaped(one, separator) for one in told) or "(empty)"
    if isinstance(told, float):
        return f"{told:.6f}"
    text = escaped(str(told), separator) or "(empty)"
    return {"-": "\\x2d"}.get(text, text)


def text_log(
    path: str | None, records: list[dict[str, Any]], *, fields: Iterable[str] | None = None, separator: str = "\t"
) -> bytes:
    """Return a log with its header; the fields in the order asked, those of the first record without it."""
    names = list(fields or records[0])
    head = [
        f"#separator \\x{ord(separator):02x}",
        f"#set_separator{separator},",
        f"#empty_field{separator}(empty)",
        f"#unset_field{separator}-",
        *([f"#path{separator}{path}"] if path else []),
        f"#open{separator}2026-03-01-12-00-00",
        separator.join(["#fields", *names]),
        separator.join(["#types", *("string" for _ in names)]),
    ]
    lines = [separator.join(value(record.get(name), separator) for name in names) for record in records]
    return "\n".join([*head, *lines, f"#close{separator}2026-03-01-13-00-00", ""]).encode()


def read(data: bytes, companions: Companions | None = None, **policy: Any) -> tuple[list[dict[str, Any]], ZeekReader]:
    """Read a log to its end; return its sessions as rows, and the reader."""
    reader = open_log(io.BytesIO(data), policy=ReaderPolicy(**policy), companions=companions)
    assert not isinstance(reader, Reader), reader
    return [row for chunk in reader for row in eve.rows(chunk)], reader
