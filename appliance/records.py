"""The short way from a parsed EVE record to the columns a model reads."""

from __future__ import annotations

from typing import Any

from detection.sessions import Row
from detection.sources.suricata import FLOW_FIELDS, flow_values, session_row
from detection.sources.values import decode_uri

_TEXT = (str, type(None))
_NUMBER = (int, type(None))
_INT64_MAX = 2**63 - 1


def model_row(record: dict[str, Any], flow: dict[str, Any] | None = None) -> Row:
    """Return what `session_row` would say about the columns a model reads; sizes and duration come with a flow record.

    A plain HTTP/1 record needs no more than a look at its types, a third of the time of the whole row; anything odd
    (HTTP/2, repeated headers, numbers as texts, values out of range) goes through `session_row`.
    """
    if flow is not None:
        return session_row(record) | dict(zip(FLOW_FIELDS, flow_values(flow), strict=True))
    http = record.get("http")
    if http.__class__ is not dict or "http2" in http or "version" in http or record.get("app_proto") == "http2":
        return session_row(record)
    get = http.get
    uri, host, user_agent, referer = get("url"), get("hostname"), get("http_user_agent"), get("http_refer")
    content_type, method = get("http_content_type"), get("http_method")
    status, size, port = get("status"), get("length"), record.get("dest_port")
    if not (
        uri.__class__ in _TEXT
        and host.__class__ in _TEXT
        and user_agent.__class__ in _TEXT
        and referer.__class__ in _TEXT
        and content_type.__class__ in _TEXT
        and method.__class__ in _TEXT
        and status.__class__ in _NUMBER
        and size.__class__ in _NUMBER
        and port.__class__ in _NUMBER
        and 0 <= (status or 0) <= 99_999
        and 0 <= (size or 0) <= _INT64_MAX
        and 0 <= (port or 0) <= 65_535
    ):
        return session_row(record)
    return {
        "uri": uri,
        "host": host,
        "user_agent": user_agent,
        "uri_decoded": decode_uri(uri),
        "referer": referer,
        "content_type": content_type,
        "method": method,
        "status": status,
        "response_bytes": size,
        "dst_port": port,
    }
