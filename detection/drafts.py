"""Drafts of rules and of shared indicators, made of one confirmed session. A person finishes them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date
from typing import Any

from detection.fingerprint import shape_of
from detection.sessions import Row

FIRST_SID = 9_000_000  # of drafts: nobody's range, so that a forgotten one collides with nothing
LONGEST = 200  # bytes of one content
_NAMESPACE = uuid.UUID("6f1c0f2a-3a5e-5d0a-9b3f-6d4f0b1f2c11")


def suricata_rule(row: Row, *, sid: int, title: str) -> str:
    """Return a draft rule for the look of one session: what is stable about it, and nothing of who spoke.

    Numbers in a URI are left out by cutting it at the first digit run, as a fingerprint replaces them."""
    options = list(_tls(row) if row["protocol"] == "tls" else _http(row))
    head = "alert tls any any -> any any" if row["protocol"] == "tls" else "alert http any any -> any any"
    msg = f"DRAFT Etalon {_quoted(title)}"
    flow = "flow:established,to_server;"
    words = [f'msg:"{msg}";', flow, *options, "classtype:misc-activity;", f"sid:{sid};", "rev:1;"]
    return f"{head} ({' '.join(words)} metadata:etalon draft;)"


def _http(row: Row) -> Iterator[str]:
    if row["method"]:
        yield f'http.method; content:"{_content(row["method"])}";'
    if path := _stable(row["uri"] or ""):
        yield f'http.uri; content:"{_content(path)}"; startswith;'
    for mark in _marks(row["uri_decoded"] or row["uri"] or "", _stable(row["uri"] or "")):
        yield f'http.uri; content:"{_content(mark)}"; nocase;'
    if row["host"]:
        yield f'http.host; content:"{_content(row["host"].lower())}"; bsize:{len(row["host"].encode())};'


def _tls(row: Row) -> Iterator[str]:
    if row["host"]:
        yield f'tls.sni; content:"{_content(row["host"].lower())}"; nocase;'
    if row["ja3"]:
        yield f'ja3.hash; content:"{_content(row["ja3"])}";'


def _stable(uri: str) -> str:
    """Return the path up to the first digit or percent sign: what look-alikes share."""
    path = uri.partition("?")[0]
    for at, sign in enumerate(path):
        if sign.isdigit() or sign == "%":
            return path[:at]
    return path


def _marks(uri: str, stable: str) -> Iterator[str]:
    """Yield words behind the stable part that make the request what it is."""
    behind = uri[len(stable) :].lower()
    known = ("union select", "' or ", "../", "<script", "/etc/passwd", "cmd.exe", "wget ", "curl ", "${jndi:", "sleep(")
    yield from (mark for mark in known if mark in behind)


def _content(text: str) -> str:
    """Return bytes as a content keyword takes them: everything but letters, digits and a few signs in hex."""
    out, run = "", ""
    for byte in text.encode("utf-8", "replace")[:LONGEST]:
        sign = chr(byte)
        if sign.isascii() and (sign.isalnum() or sign in "/._-=?&"):
            out, run = (out + f"|{run.strip()}|" if run else out) + sign, ""
        else:
            run += f"{byte:02X} "
    return out + (f"|{run.strip()}|" if run else "")


def _quoted(text: str) -> str:
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign in " ._-/") else "_" for sign in text)[:120]


def misp_event(row: Row, *, title: str, detector: str, day: date, sightings: int) -> dict[str, Any]:
    """Return a MISP event of one confirmed session; the same session gives the same identifiers."""
    key = f"{detector}|{shape_of(row)}"
    attributes = [
        {
            "type": kind,
            "category": "Network activity",
            "value": value,
            "to_ids": to_ids,
            "uuid": _uuid(key, kind, value),
        }
        for kind, value, to_ids in _attributes(row)
    ]
    return {
        "Event": {
            "uuid": _uuid(key),
            "info": f"Etalon: {detector}, unique detect: {title}"[:255],
            "date": day.isoformat(),
            "distribution": "0",
            "threat_level_id": "2",
            "analysis": "1",
            "published": False,
            "Tag": [{"name": "tlp:amber"}, {"name": 'workflow:state="draft"'}],
            "Attribute": [*attributes, _comment(key, f"{sightings} sessions of this look on our own network")],
        }
    }


def _attributes(row: Row) -> Iterator[tuple[str, str, bool]]:
    if row["host"]:
        yield ("ip-dst" if _is_ip(row["host"]) else "hostname"), row["host"], True
    if row["protocol"] == "tls":
        if row["ja3"]:
            yield "ja3-fingerprint-md5", row["ja3"], True
        if row["cert_sha1"]:
            yield "x509-fingerprint-sha1", row["cert_sha1"], True
        return
    if row["host"] and row["uri"]:
        yield "url", f"http://{row['host']}{row['uri']}"[:2000], True
    if row["user_agent"]:
        yield "user-agent", row["user_agent"][:2000], False
    if row["method"]:
        yield "http-method", row["method"], False


def _comment(key: str, text: str) -> dict[str, Any]:
    return {"type": "comment", "category": "Other", "value": text, "to_ids": False, "uuid": _uuid(key, "comment", text)}


def _is_ip(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _uuid(*parts: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "|".join(parts)))
