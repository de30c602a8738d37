"""What a session is: the columns every source fills and every later stage reads. Pure values; Arrow lives in `tables`.

A row is a `dict[str, Any]` keyed by column name; a batch is a `dict[str, list[Any]]` of equal lengths (`Columns`).
Missing values are None. Texts are as the wire said, decoded from JSON; times are microseconds since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

Row = Mapping[str, Any]
Columns = Mapping[str, Sequence[Any]]


class Kind(Enum):
    TEXT = "text"
    INTEGER = "integer"
    TIME = "time"  # microseconds since 1970, UTC
    HITS = "hits"  # list of rule hits, see HIT_FIELDS


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind
    title: str


# rid = segment_id << 32 | row is added when a segment is stored
COLUMNS = (
    Column("start", Kind.TIME, "time of the session"),
    Column("flow_id", Kind.INTEGER, "flow number, unique within one run of a sensor"),
    Column("tx_id", Kind.INTEGER, "transaction number within the flow"),
    Column("protocol", Kind.TEXT, "http or tls"),
    Column("app_proto", Kind.TEXT, "protocol as the sensor names it: http, http2, tls"),
    Column("src_ip", Kind.TEXT, "client address"),
    Column("src_port", Kind.INTEGER, "client port"),
    Column("dst_ip", Kind.TEXT, "server address"),
    Column("dst_port", Kind.INTEGER, "server port"),
    Column("community_id", Kind.TEXT, "flow hash shared by tools"),
    Column("host", Kind.TEXT, "host name the client asked for (of TLS: the server name indication)"),
    Column("method", Kind.TEXT, "request method"),
    Column("uri", Kind.TEXT, "request target as sent"),
    Column("uri_decoded", Kind.TEXT, "request target, percent-decoded (twice at most), + as space"),
    Column("user_agent", Kind.TEXT, "user agent"),
    Column("referer", Kind.TEXT, "referring page"),
    Column("http_version", Kind.TEXT, "protocol version: HTTP/1.1, HTTP/2"),
    Column("status", Kind.INTEGER, "response status"),
    Column("content_type", Kind.TEXT, "response content type"),
    Column("response_bytes", Kind.INTEGER, "response body length"),
    Column("flow_start", Kind.TIME, "start of the flow"),
    Column("flow_end", Kind.TIME, "end of the flow"),
    Column("bytes_to_server", Kind.INTEGER, "bytes of the flow to the server"),
    Column("bytes_to_client", Kind.INTEGER, "bytes of the flow to the client"),
    Column("packets_to_server", Kind.INTEGER, "packets of the flow to the server"),
    Column("packets_to_client", Kind.INTEGER, "packets of the flow to the client"),
    Column("file_magic", Kind.TEXT, "what the response file looks like"),
    Column("file_bytes", Kind.INTEGER, "size of the file"),
    Column("file_sha256", Kind.TEXT, "SHA-256 of the file"),
    Column("capture", Kind.TEXT, "capture file the sensor read, if any"),
    Column(
        "flow_sessions",
        Kind.INTEGER,
        "sessions of this flow, as far as known when this one was stored",
    ),
    Column("uid", Kind.TEXT, "connection id, as Zeek gives it"),
    Column("tls_version", Kind.TEXT, "protocol version agreed on: TLS 1.2, SSL 3.0"),
    Column("ja3", Kind.TEXT, "JA3 of the client"),
    Column("ja3s", Kind.TEXT, "JA3S of the server"),
    Column("ja4", Kind.TEXT, "JA4 of the client"),
    Column("alpn", Kind.TEXT, "protocols the client offers, comma joined; the agreed one when only that is told"),
    Column("cipher", Kind.TEXT, "cipher suite agreed on"),
    Column("session_resumed", Kind.INTEGER, "1 when an earlier TLS session was resumed, 0 when not"),
    Column("cert_subject", Kind.TEXT, "subject of the server's certificate"),
    Column("cert_issuer", Kind.TEXT, "issuer of the server's certificate"),
    Column("cert_serial", Kind.TEXT, "serial number of the server's certificate, hex"),
    Column("cert_sha1", Kind.TEXT, "SHA-1 of the server's certificate, lower hex without colons"),
    Column("cert_not_before", Kind.TIME, "when the server's certificate begins to be valid"),
    Column("cert_not_after", Kind.TIME, "when it ends to be valid"),
    Column("cert_names", Kind.TEXT, "names the server's certificate is for, comma joined"),
    Column("dst_org", Kind.TEXT, "who owns the server's address; null too where no source was asked"),
    Column("hits", Kind.HITS, "rule hits on this session"),
)
COLUMN_NAMES = tuple(column.name for column in COLUMNS)

PROTOCOLS = ("http", "tls")  # a segment holds sessions of one

# one rule hit: a dict with these keys
HIT_FIELDS = ("sid", "gid", "rev", "signature", "category", "severity", "action", "scope")
TRANSACTION = "transaction"  # scope of a hit with tx_id: it belongs to that transaction
OUTSIDE_SID = 0  # no rule of a sensor: what another expert system said, its name as category
FLOW = "flow"  # scope of a hit without: shown on every session of the flow


def session_key(sensor: str, row: Row) -> str:
    """Return the key of a session: flow numbers alone repeat between runs of a sensor."""
    tx_id = row["tx_id"]
    return f"{sensor}|{row['flow_id']}|{'' if tx_id is None else tx_id}|{row['start']}"
